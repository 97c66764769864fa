// Prefill attention in float32, without tensor cores: a warp has 8 lanes, or 4; for scores each of its threads takes a key, for
// outputs every 32nd dimension.
#pragma once

#include <cmath>

#include "elements.h"
#include "kv_tiles.h"
#include "query_tile.h"

namespace kvasir::gpu {

template <class Element, int kDimSteps>
struct PrefillSimt {
  using T = Element;
  static constexpr int kDims = 16 * kDimSteps;  // at most
  static constexpr bool kSplits = kDims <= 128;
  static constexpr int kWarps = kSplits ? 8 : 4;
  static constexpr int kThreads = kWarps * kWarp;
  static constexpr int kMinBlocks = 1;
  static constexpr int kWarpLanes = kSplits ? 8 : 4;
  static constexpr int kLanes = kWarps * kWarpLanes;
  static constexpr int kKeys = 32;
  static constexpr int kPerVec = kPerVector<T>;
  static constexpr int kMostVectors = kDims / kPerVec;
  static constexpr int kSlots = kSplits ? 3 : 2;
  // A row of an odd number of vectors needs no more than the most.
  static constexpr int kSlotElements = kKeys * kDims;
  static constexpr int kQueryElements = kLanes * kDims;  // floats
  static constexpr int kWarpFloats = kWarpLanes * kKeys;
  static constexpr int kStates = kWarpLanes;
  static constexpr int kWidth = 1;
  static constexpr int kColumns = (kDims + kWarp - 1) / kWarp;

  using Layout = KeyTileLayout;
  static KVASIR_DEVICE Layout layoutOf(int headDim) { return keyTileLayoutOf(headDim / kPerVec); }

  struct Regs {
    float out[kStates][kColumns];
    float scores[kStates];
    float max[kStates], sum[kStates], high[kStates];
    float keep[kStates], take[kStates];
  };

  template <class Cx>
  static KVASIR_DEVICE void loadQueries(Cx& cx, typename Cx::template Shared<float> queries, const Layout&, const float* q,
                                        const LaneTable<Cx>& table, int headDim, float scale) {
    cx.each([&](int thread) {
      for (int lane = thread / kWarp; lane < kLanes; lane += kWarps) {
        const int place = table.place[lane];
        const float* from = q + static_cast<std::size_t>(most(place, 0)) * static_cast<std::size_t>(headDim);
        for (int dim = thread % kWarp; dim < headDim; dim += kWarp) {
          queries[lane * kDims + dim] = place >= 0 ? from[dim] * scale : 0.0f;
        }
      }
    });
  }

  template <class Cx>
  static KVASIR_DEVICE void open(Cx&, typename Cx::template Threads<Regs>&, typename Cx::template Shared<float>, const Layout&) {}

  template <class Cx>
  static KVASIR_DEVICE void begin(Cx& cx, typename Cx::template Threads<Regs>& regs) {
    cx.each(regs, [&](int, Regs& r) {
      KVASIR_UNROLL
      for (int s = 0; s < kStates; ++s) {
        KVASIR_UNROLL
        for (int i = 0; i < kColumns; ++i) r.out[s][i] = 0.0f;
        r.max[s] = kLowest;
        r.sum[s] = 0.0f;
      }
    });
  }

  template <class Cx>
  static KVASIR_DEVICE void score(Cx& cx, typename Cx::template Threads<Regs>& regs, int warp, typename Cx::template Shared<T> slot,
                                  const Layout& layout, typename Cx::template Shared<float> queries, const LaneTable<Cx>& table,
                                  int start, typename Cx::template Shared<float> weights) {
    const Sight sight = sightOf(table, warp * kWarpLanes, kWarpLanes, start, kKeys);
    if (!sight.any) return;
    auto own = queries + warp * kWarpLanes * kDims;
    cx.each(regs, [&](int thread, Regs& r) {
      KVASIR_UNROLL
      for (int s = 0; s < kStates; ++s) r.scores[s] = 0.0f;
      for (int vector = 0; vector < layout.vectors; ++vector) {
        float key[kPerVec];
        unpack<T>(cx, cx.load16(slot + layout.at(thread % kWarp, vector) * kPerVec), key);
        KVASIR_UNROLL
        for (int s = 0; s < kStates; ++s) {
          KVASIR_UNROLL
          for (int i = 0; i < kPerVec; i += 4) {
            const Vec16 q = cx.load16(own + s * kDims + vector * kPerVec + i);
            KVASIR_UNROLL
            for (int j = 0; j < 4; ++j) r.scores[s] = cx.fma(cx.asFloat(q.word[j]), key[i + j], r.scores[s]);
          }
        }
      }
      KVASIR_UNROLL
      for (int s = 0; s < kStates; ++s) {
        const int lane = warp * kWarpLanes + s, index = start + thread % kWarp;
        if (!sight.all && (index < table.first[lane] || index > table.last[lane])) r.scores[s] = -INFINITY;
        r.high[s] = r.scores[s];
      }
    });
    KVASIR_UNROLL
    for (int s = 0; s < kStates; ++s) cx.warpMax(regs, [s](Regs& r) -> float& { return r.high[s]; });
    cx.each(regs, [&](int thread, Regs& r) {
      KVASIR_UNROLL
      for (int s = 0; s < kStates; ++s) {
        const float max = most(r.max[s], r.high[s]), fade = cx.exp2(r.max[s] - max), weight = cx.exp2(r.scores[s] - max);
        r.max[s] = max;
        r.sum[s] = cx.fma(r.sum[s], fade, weight);
        weights[s * kKeys + thread % kWarp] = weight;
        KVASIR_UNROLL
        for (int i = 0; i < kColumns; ++i) r.out[s][i] *= fade;
      }
    });
  }

  template <class Cx>
  static KVASIR_DEVICE void add(Cx& cx, typename Cx::template Threads<Regs>& regs, int warp, typename Cx::template Shared<T> slot,
                                const Layout& layout, const LaneTable<Cx>& table, int start, typename Cx::template Shared<float> weights) {
    const Sight sight = sightOf(table, warp * kWarpLanes, kWarpLanes, start, kKeys);
    if (!sight.any) return;
    const int dims = layout.vectors * kPerVec;
    cx.each(regs, [&](int thread, Regs& r) {
      for (int key = 0; key < kKeys; ++key) {
        float value[kColumns];
        KVASIR_UNROLL
        for (int i = 0; i < kColumns; ++i) {
          const int dim = thread % kWarp + i * kWarp;
          value[i] = dim < dims ? elementAt(cx, slot, layout, key, dim) : 0.0f;
        }
        KVASIR_UNROLL
        for (int s = 0; s < kStates; ++s) {
          const int lane = warp * kWarpLanes + s, index = start + key;
          // Its weight would be 0: of a value that is not finite that makes NaN.
          if (!sight.all && (index < table.first[lane] || index > table.last[lane])) continue;
          const float weight = weights[s * kKeys + key];
          KVASIR_UNROLL
          for (int i = 0; i < kColumns; ++i) r.out[s][i] = cx.fma(weight, value[i], r.out[s][i]);
        }
      }
    });
  }

  template <class Cx>
  static KVASIR_DEVICE void close(Cx& cx, typename Cx::template Threads<Regs>& regs) {
    KVASIR_UNROLL
    for (int s = 0; s < kStates; ++s) cx.warpSum(regs, [s](Regs& r) -> float& { return r.sum[s]; });
  }

  template <class Visit>
  static KVASIR_DEVICE void eachLane(int thread, const Visit& visit) {
    KVASIR_UNROLL
    for (int s = 0; s < kStates; ++s) visit(s, thread / kWarp * kWarpLanes + s);
  }
  static KVASIR_DEVICE bool isFirst(int thread) { return thread % kWarp == 0; }

  template <class Visit>
  static KVASIR_DEVICE void eachValue(int thread, Regs& r, int headDim, const Visit& visit) {
    KVASIR_UNROLL
    for (int s = 0; s < kStates; ++s) {
      KVASIR_UNROLL
      for (int i = 0; i < kColumns; ++i) {
        const int dim = thread % kWarp + i * kWarp;
        if (dim < headDim) visit(s, thread / kWarp * kWarpLanes + s, dim, &r.out[s][i]);
      }
    }
  }

 private:
  template <class Cx>
  static KVASIR_DEVICE float elementAt(Cx& cx, typename Cx::template Shared<T> slot, const Layout& layout, int row, int dim) {
    const T element = slot[layout.at(row, dim / kPerVec) * kPerVec + dim % kPerVec];
    if constexpr (sizeof(T) == 2) return cx.toFloat(element);
    else return element;
  }
};

}  // namespace kvasir::gpu
