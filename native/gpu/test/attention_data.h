// Pages of several sequences for the tests of attention, everything that was not written NaN, and attention in float64 over
// the stored bits.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "../../cpu/simd/half.h"
#include "suite.h"

namespace kvasir::gpu::test {

struct AttentionShape {
  int type;
  int numKvHeads;
  int group;
  int headDim;
  std::vector<int> tokens;  // a sequence
  int padding = 0;          // bytes between tiles, a multiple of 16
  float scale = 1.0f;       // of the K and V rows' values
  int numHeads() const { return numKvHeads * group; }
  int numSequences() const { return static_cast<int>(tokens.size()); }
};

constexpr int kLayers = 2, kLayer = 1;

inline KvasirKvView viewOf(const AttentionShape& s) {
  KvasirKvView view{};
  const std::size_t rowBytes = static_cast<std::size_t>(s.headDim) * (s.type == KVASIR_F16 ? 2 : 4), gap = static_cast<std::size_t>(s.padding);
  view.valueStride = KVASIR_PAGE_TOKENS * rowBytes + gap;
  view.headStride = 2 * view.valueStride + gap;
  view.layerStride = static_cast<std::size_t>(s.numKvHeads) * view.headStride;
  view.pageStride = kLayers * view.layerStride + 3 * gap;
  view.type = s.type;
  view.numKvHeads = s.numKvHeads;
  view.headDim = s.headDim;
  return view;
}

class AttentionCache {
 public:
  AttentionCache(Random& random, const AttentionShape& s) : shape(s), view(viewOf(s)), random_(random) {
    pageStarts.push_back(0);
    for (const int count : s.tokens) pageStarts.push_back(pageStarts.back() + (count + 15) / 16);
    pages = drawDistinct(random, pageStarts.back(), pageStarts.back() + 3);
    bytes.assign(view.pageStride * static_cast<std::size_t>(pageStarts.back() + 3), 0xFF);
    for (int sequence = 0; sequence < s.numSequences(); ++sequence) {
      for (int index = 0; index < s.tokens[static_cast<std::size_t>(sequence)]; ++index) {
        for (int head = 0; head < s.numKvHeads; ++head) {
          for (const bool values : {false, true}) {
            put(sequence, index, head, values, drawNormal(random, static_cast<std::size_t>(s.headDim), s.scale));
          }
        }
      }
    }
  }

  std::size_t offsetOf(int sequence, int index, int head, bool values) const {
    const std::size_t page = static_cast<std::size_t>(pages[static_cast<std::size_t>(pageStarts[static_cast<std::size_t>(sequence)] + index / 16)]);
    return page * view.pageStride + kLayer * view.layerStride + static_cast<std::size_t>(head) * view.headStride +
           (values ? view.valueStride : 0) + static_cast<std::size_t>(index % 16) * rowBytes();
  }
  std::size_t rowBytes() const { return static_cast<std::size_t>(shape.headDim) * (shape.type == KVASIR_F16 ? 2 : 4); }

  void put(int sequence, int index, int head, bool values, const std::vector<float>& row) {
    std::uint8_t* to = &bytes[offsetOf(sequence, index, head, values)];
    for (int i = 0; i < shape.headDim; ++i) {
      const std::uint16_t half = floatToHalf(row[static_cast<std::size_t>(i)]);
      if (shape.type == KVASIR_F16) std::memcpy(to + 2 * i, &half, 2);
      else std::memcpy(to + 4 * i, &row[static_cast<std::size_t>(i)], 4);
    }
  }

  std::vector<double> row(int sequence, int index, int head, bool values) const {
    const std::uint8_t* from = &bytes[offsetOf(sequence, index, head, values)];
    std::vector<double> out;
    for (int i = 0; i < shape.headDim; ++i) {
      std::uint16_t half;
      float value;
      std::memcpy(&half, from + 2 * i, 2);
      if (shape.type == KVASIR_F16) value = halfToFloat(half);
      else std::memcpy(&value, from + 4 * i, 4);
      out.push_back(static_cast<double>(value));
    }
    return out;
  }

  // Scores of rows of one KV head, scaled.
  std::vector<double> scores(int sequence, int head, const float* q, double scale, const std::vector<int>& indices) const {
    std::vector<double> all;
    for (const int index : indices) {
      const std::vector<double> key = row(sequence, index, head, false);
      double score = 0.0;
      for (int i = 0; i < shape.headDim; ++i) score += static_cast<double>(q[i]) * key[static_cast<std::size_t>(i)];
      all.push_back(score * scale);
    }
    return all;
  }

  // out [headDim]; gives the natural lse.
  double attend(int sequence, int head, const float* q, double scale, const std::vector<int>& indices, std::vector<double>& out) const {
    const std::vector<double> all = scores(sequence, head, q, scale, indices);
    const double none = -std::numeric_limits<double>::infinity();
    const double max = all.empty() ? none : *std::max_element(all.begin(), all.end());
    out.assign(static_cast<std::size_t>(shape.headDim), 0.0);
    double sum = 0.0;
    for (std::size_t j = 0; j < all.size(); ++j) {
      const double weight = std::exp(all[j] - max);
      const std::vector<double> value = row(sequence, indices[j], head, true);
      sum += weight;
      for (std::size_t i = 0; i < out.size(); ++i) out[i] += weight * value[i];
    }
    for (double& x : out) x = all.empty() ? 0.0 : x / sum;
    return all.empty() ? none : max + std::log(sum);
  }

  AttentionShape shape;
  KvasirKvView view;  // without a base
  std::vector<std::int32_t> pages, pageStarts;
  std::vector<std::uint8_t> bytes;

 private:
  Random& random_;
};

// Ascending runs, a row a (sequence, KV head) or one a (sequence, query head).
struct RunLists {
  std::vector<std::int32_t> starts{0};
  std::vector<KvasirKvRun> runs;
  bool perQueryHead = false;

  void close() { starts.push_back(static_cast<std::int32_t>(runs.size())); }

  // Each index is kept with the given chance; neighbours of a page form runs of at most `longest`.
  void add(Random& random, int tokens, double keep, int longest) {
    bool open = false;
    for (int index = 0; index < tokens; ++index) {
      const bool takes = static_cast<double>(random() % 65536) < keep * 65536.0;
      if (takes && open && index % 16 != 0 && runs.back().len < longest) ++runs.back().len;
      else if (takes) runs.push_back({index / 16, index % 16, 1});
      open = takes;
    }
    close();
  }

  std::vector<int> indices(int row) const {
    std::vector<int> all;
    for (int run = starts[static_cast<std::size_t>(row)]; run < starts[static_cast<std::size_t>(row) + 1]; ++run) {
      const KvasirKvRun& r = runs[static_cast<std::size_t>(run)];
      for (int i = 0; i < r.len; ++i) all.push_back(r.page * 16 + r.first + i);
    }
    return all;
  }

  int rows() const { return static_cast<int>(starts.size()) - 1; }

  int longest() const {
    std::size_t most = 0;
    for (int row = 0; row < rows(); ++row) most = std::max(most, indices(row).size());
    return static_cast<int>(most);
  }

  // Every run cut in two.
  RunLists halved() const {
    RunLists cut;
    cut.perQueryHead = perQueryHead;
    for (int row = 0; row < rows(); ++row) {
      for (int run = starts[static_cast<std::size_t>(row)]; run < starts[static_cast<std::size_t>(row) + 1]; ++run) {
        const KvasirKvRun& r = runs[static_cast<std::size_t>(run)];
        if (r.len > 1) cut.runs.push_back({r.page, r.first, r.len / 2});
        cut.runs.push_back({r.page, r.first + r.len / 2, r.len - r.len / 2});
      }
      cut.close();
    }
    return cut;
  }

  // The same rows once for each query head of a group.
  RunLists expanded(int group) const {
    RunLists all;
    all.perQueryHead = true;
    for (int row = 0; row < rows() * group; ++row) {
      all.runs.insert(all.runs.end(), runs.begin() + starts[static_cast<std::size_t>(row / group)], runs.begin() + starts[static_cast<std::size_t>(row / group) + 1]);
      all.close();
    }
    return all;
  }
};

// |got - want| of a query head in units of its length, or, where values cancel, of the length that a mean of `rows` usual
// rows has.
inline double errorOf(const float* got, const std::vector<double>& want, double scale, std::size_t rows) {
  double apart = 0.0, size = 0.0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double error = static_cast<double>(got[i]) - want[i];
    if (!std::isfinite(error)) return std::numeric_limits<double>::infinity();
    apart += error * error;
    size += want[i] * want[i];
  }
  const double usual = 0.5 * scale * std::sqrt(static_cast<double>(want.size()) / static_cast<double>(std::max<std::size_t>(rows, 1)));
  return std::sqrt(apart) / std::max(std::sqrt(size), usual);
}

}  // namespace kvasir::gpu::test
