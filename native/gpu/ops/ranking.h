// The best of rows for one query, in f64: a warp looks at four rows at a time, eight lanes each.
#pragma once

#include "../args/rank_rows.h"
#include "elements.h"

namespace kvasir::gpu {

struct Ranking {
  static constexpr int kLanes = 8, kRows = kWarp / kLanes;

  struct Regs {
    double query;        // its square
    double dot, square;  // of the query with a row and of the row; or their squared distance in `dot`
    float value, other;
    int index, otherIndex;  // of the best row; -1: none yet
  };

  int metric;
  int dim;
  const float* query;  // [dim]
  const float* rows;   // [.][dim]
  float threshold;

  template <class Cx>
  KVASIR_DEVICE void begin(Cx& cx, typename Cx::template Threads<Regs>& regs) const {
    cx.each(regs, [&](int thread, Regs& r) {
      r.query = r.dot = 0.0;
      r.index = -1;
      r.value = 0.0f;
      if (metric == KVASIR_METRIC_COSINE) addProducts(cx, thread % kLanes, query, r.dot, r.query);
    });
    cx.template warpSum<kLanes>(regs, &Regs::query);
  }

  // candidateOf(thread): the row that this thread's eight lanes look at, or a negative number.
  template <class Cx, class CandidateOf>
  KVASIR_DEVICE void consider(Cx& cx, typename Cx::template Threads<Regs>& regs, const CandidateOf& candidateOf) const {
    cx.each(regs, [&](int thread, Regs& r) {
      r.dot = r.square = 0.0;
      r.otherIndex = candidateOf(thread);
      if (r.otherIndex < 0) return;
      const float* row = rows + static_cast<std::size_t>(r.otherIndex) * static_cast<std::size_t>(dim);
      if (metric == KVASIR_METRIC_COSINE) addProducts(cx, thread % kLanes, row, r.dot, r.square);
      else addDistances(cx, thread % kLanes, row, r.dot);
    });
    cx.template warpSum<kLanes>(regs, &Regs::dot);
    cx.template warpSum<kLanes>(regs, &Regs::square);
    cx.each(regs, [&](int, Regs& r) {
      if (r.otherIndex < 0) return;
      r.other = static_cast<float>(r.dot);
      if (metric == KVASIR_METRIC_COSINE) {
        const double lengths = cx.sqrt(r.query * r.square);
        r.other = lengths == 0.0 ? 0.0f : static_cast<float>(r.dot / lengths);
      }
      if (metric == KVASIR_METRIC_COSINE ? r.other >= threshold : r.other <= threshold) keepNearer(r);
    });
  }

  // The best of all lanes, which then all have it.
  template <class Cx>
  KVASIR_DEVICE void finish(Cx& cx, typename Cx::template Threads<Regs>& regs) const {
    KVASIR_UNROLL
    for (int mask = kLanes; mask < kWarp; mask *= 2) {
      cx.shuffleXor(regs, &Regs::value, &Regs::other, mask);
      cx.shuffleXor(regs, &Regs::index, &Regs::otherIndex, mask);
      cx.each(regs, [&](int, Regs& r) {
        if (r.otherIndex >= 0) keepNearer(r);
      });
    }
  }

  // As what was found is given: NaN where nothing was.
  template <class Cx>
  static KVASIR_DEVICE void store(Cx& cx, const Regs& r, std::int32_t& index, float& value) {
    index = r.index;
    value = r.index >= 0 ? r.value : cx.asFloat(0x7fc00000u);
  }

 private:
  KVASIR_DEVICE void keepNearer(Regs& r) const {
    const bool nearer = metric == KVASIR_METRIC_COSINE ? r.other > r.value : r.other < r.value;
    if (r.index >= 0 && !nearer && !(r.other == r.value && r.otherIndex < r.index)) return;
    r.value = r.other;
    r.index = r.otherIndex;
  }

  template <class Cx>
  KVASIR_DEVICE void addProducts(Cx& cx, int lane, const float* row, double& dot, double& square) const {
    for (int i = 4 * lane; i < dim; i += 4 * kLanes) {
      float a[4], b[4];
      loadFloats<4>(cx, query + i, a);
      loadFloats<4>(cx, row + i, b);
      KVASIR_UNROLL
      for (int j = 0; j < 4; ++j) {
        dot += static_cast<double>(a[j]) * static_cast<double>(b[j]);
        square += static_cast<double>(b[j]) * static_cast<double>(b[j]);
      }
    }
  }

  template <class Cx>
  KVASIR_DEVICE void addDistances(Cx& cx, int lane, const float* row, double& sum) const {
    for (int i = 4 * lane; i < dim; i += 4 * kLanes) {
      float a[4], b[4];
      loadFloats<4>(cx, query + i, a);
      loadFloats<4>(cx, row + i, b);
      KVASIR_UNROLL
      for (int j = 0; j < 4; ++j) {
        const double apart = static_cast<double>(a[j]) - static_cast<double>(b[j]);
        sum += apart * apart;
      }
    }
  }
};

inline bool isMetric(int metric) { return metric == KVASIR_METRIC_COSINE || metric == KVASIR_METRIC_L2; }

}  // namespace kvasir::gpu
