// Attention of up to eight queries to tiles of 16 rows in float32 arithmetic: of float32 pages, and the plain answer for
// float16 ones.
#pragma once

#include "../args/attend_runs.h"
#include "elements.h"
#include "merge_parts.h"
#include "row_tiles.h"

namespace kvasir::gpu {

template <class Element, int kDimSteps>
struct SimtAttention {
  using T = Element;
  static constexpr int kSteps = kDimSteps;
  using Tiles = RowTiles<T, kSteps>;
  static constexpr int kQueries = KVASIR_QUERY_HEADS;
  static constexpr int kQueryBytes = kQueries * Tiles::kDim * 4;
  static constexpr int kWarpFloats = kQueries * kTileTokens + kQueries;  // weights, then how much older ones fade
  static constexpr int kOwn = ceilDiv(Tiles::kDim, 4 * kWarp);           // times four dimensions a lane

  static constexpr int kMinBlocks = 3;

  // Lane l scores key l % 16 for queries l / 16, l / 16 + 2, ..., and has dimensions 4 l + 128 i of all queries' outputs.
  struct Regs {
    float out[kQueries][kOwn][4];
    float scores[kQueries / 2], high[kQueries / 2], max[kQueries / 2], sum[kQueries / 2];
  };

  template <class Cx>
  static KVASIR_DEVICE void loadQueries(Cx& cx, typename Cx::template Shared<std::uint32_t> words, const float* q, int headDim,
                                        int queries, float scale) {
    cx.each([&](int thread) {
      for (int i = thread; i < kQueries * headDim; i += Tiles::kWarps * kWarp) {
        words[i] = cx.asBits(i < queries * headDim ? q[i] * scale : 0.0f);
      }
    });
  }

  template <class Cx>
  static KVASIR_DEVICE void begin(Cx& cx, typename Cx::template Threads<Regs>& regs) {
    cx.each(regs, [&](int, Regs& r) {
      KVASIR_UNROLL
      for (int j = 0; j < kQueries / 2; ++j) {
        r.max[j] = -INFINITY;
        r.sum[j] = 0.0f;
      }
      KVASIR_UNROLL
      for (int h = 0; h < kQueries; ++h) {
        KVASIR_UNROLL
        for (int i = 0; i < 4 * kOwn; ++i) r.out[h][i / 4][i % 4] = 0.0f;
      }
    });
  }

  template <class Cx>
  static KVASIR_DEVICE void score(Cx& cx, typename Cx::template Threads<Regs>& regs, typename Cx::template Shared<T> slot,
                                  const typename Tiles::Layout& layout, typename Cx::template Shared<std::uint32_t> queries, int steps,
                                  int tokens, typename Cx::template Shared<float> weights) {
    scoreRows(cx, regs, slot, layout, queries, 16 * steps, tokens);
    cx.each(regs, [&](int, Regs& r) {
      KVASIR_UNROLL
      for (int j = 0; j < kQueries / 2; ++j) r.high[j] = r.scores[j];
    });
    KVASIR_UNROLL
    for (int j = 0; j < kQueries / 2; ++j) {
      cx.template warpMax<16>(regs, [j](Regs& r) -> float& { return r.high[j]; });
    }
    cx.each(regs, [&](int thread, Regs& r) {
      const int lane = thread % kWarp;
      KVASIR_UNROLL
      for (int j = 0; j < kQueries / 2; ++j) {
        const int h = lane / 16 + 2 * j;
        const float max = cx.max(r.max[j], r.high[j]), fade = cx.exp2(r.max[j] - max), weight = cx.exp2(r.scores[j] - max);
        r.max[j] = max;
        r.sum[j] = cx.fma(r.sum[j], fade, weight);
        weights[h * kTileTokens + lane % 16] = weight;
        if (lane % 16 == 0) weights[kQueries * kTileTokens + h] = fade;
      }
    });
  }

  // scores [h] of this lane's key in units of log2, -inf beyond `tokens`.
  template <class Cx>
  static KVASIR_DEVICE void scoreRows(Cx& cx, typename Cx::template Threads<Regs>& regs, typename Cx::template Shared<T> slot,
                                      const typename Tiles::Layout& layout, typename Cx::template Shared<std::uint32_t> queries,
                                      int headDim, int tokens) {
    cx.each(regs, [&](int thread, Regs& r) {
      const int lane = thread % kWarp;
      KVASIR_UNROLL
      for (int j = 0; j < kQueries / 2; ++j) r.scores[j] = 0.0f;
      for (int vector = 0; vector < layout.vectors; ++vector) {
        float key[Tiles::kPerVec];
        unpack<T>(cx, cx.load16(slot + layout.at(lane % 16, vector)), key);
        KVASIR_UNROLL
        for (int j = 0; j < kQueries / 2; ++j) {
          KVASIR_UNROLL
          for (int i = 0; i < Tiles::kPerVec; i += 4) {
            const Vec16 q = cx.load16(queries + (lane / 16 + 2 * j) * headDim + vector * Tiles::kPerVec + i);
            KVASIR_UNROLL
            for (int e = 0; e < 4; ++e) r.scores[j] = cx.fma(key[i + e], cx.asFloat(q.word[e]), r.scores[j]);
          }
        }
      }
      KVASIR_UNROLL
      for (int j = 0; j < kQueries / 2; ++j) r.scores[j] = lane % 16 < tokens ? r.scores[j] : -INFINITY;
    });
  }

  template <class Cx>
  static KVASIR_DEVICE void add(Cx& cx, typename Cx::template Threads<Regs>& regs, typename Cx::template Shared<T> slot,
                                const typename Tiles::Layout& layout, int steps, int tokens,
                                typename Cx::template Shared<float> weights) {
    cx.each(regs, [&](int thread, Regs& r) {
      const int lane = thread % kWarp;
      KVASIR_UNROLL
      for (int h = 0; h < kQueries; ++h) {
        const float fade = weights[kQueries * kTileTokens + h];
        KVASIR_UNROLL
        for (int i = 0; i < 4 * kOwn; ++i) r.out[h][i / 4][i % 4] *= fade;
      }
      for (int token = 0; token < tokens; ++token) {
        KVASIR_UNROLL
        for (int own = 0; own < kOwn; ++own) {
          const int dim = 4 * lane + 4 * kWarp * own;
          if (dim >= 16 * steps) continue;
          float value[4];
          loadValues(cx, slot + layout.at(token, dim / Tiles::kPerVec) + dim % Tiles::kPerVec, value);
          KVASIR_UNROLL
          for (int h = 0; h < kQueries; ++h) {
            const float weight = weights[h * kTileTokens + token];
            KVASIR_UNROLL
            for (int e = 0; e < 4; ++e) r.out[h][own][e] = cx.fma(weight, value[e], r.out[h][own][e]);
          }
        }
      }
    });
  }

  template <class Cx>
  static KVASIR_DEVICE void finish(Cx& cx, typename Cx::template Threads<Regs>& regs, typename Cx::template Shared<float> outs,
                                   typename Cx::template Shared<float> stats, int headDim, int queries) {
    KVASIR_UNROLL
    for (int j = 0; j < kQueries / 2; ++j) {
      cx.template warpSum<16>(regs, [j](Regs& r) -> float& { return r.sum[j]; });
    }
    cx.each(regs, [&](int thread, Regs& r) {
      const int lane = thread % kWarp;
      KVASIR_UNROLL
      for (int j = 0; j < kQueries / 2; ++j) {
        const int h = lane / 16 + 2 * j;
        if (lane % 16 != 0 || h >= queries) continue;
        stats[2 * h] = r.max[j];
        stats[2 * h + 1] = r.sum[j];
      }
      KVASIR_UNROLL
      for (int h = 0; h < kQueries; ++h) {
        KVASIR_UNROLL
        for (int own = 0; own < kOwn; ++own) {
          const int dim = 4 * lane + 4 * kWarp * own;
          if (h >= queries || dim >= headDim) continue;
          Vec16 values;
          KVASIR_UNROLL
          for (int e = 0; e < 4; ++e) values.word[e] = cx.asBits(r.out[h][own][e]);
          cx.store16(outs + h * headDim + dim, values);
        }
      }
    });
  }

 private:
  template <class Cx>
  static KVASIR_DEVICE void loadValues(Cx& cx, typename Cx::template Shared<T> from, float (&values)[4]) {
    if constexpr (sizeof(T) == 2) {
      const Vec8 words = cx.load8(from);
      cx.toFloats(words.word[0], values[0], values[1]);
      cx.toFloats(words.word[1], values[2], values[3]);
    } else {
      const Vec16 words = cx.load16(from);
      KVASIR_UNROLL
      for (int e = 0; e < 4; ++e) values[e] = cx.asFloat(words.word[e]);
    }
  }
};

}  // namespace kvasir::gpu
