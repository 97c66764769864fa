// Attention of up to eight queries to tiles of 16 rows of float16, on tensor cores: scores S^T = K Q^T, outputs
// O^T += V^T P^T, so that 16 is the number of keys, or of dimensions, and nothing is padded but the queries.
#pragma once

#include "merge_parts.h"
#include "row_tiles.h"

namespace kvasir::gpu {

template <int kDimSteps>
struct MmaAttention {
  using T = Half;
  static constexpr int kSteps = kDimSteps;
  using Tiles = RowTiles<T, kSteps>;
  // q as the words of a lane: two of its rounding to float16, two of what that leaves.
  static constexpr int kQueryBytes = kSteps * kWarp * 16;
  static constexpr int kWarpFloats = 0;
  static constexpr int kMinBlocks = kSteps <= 8 ? 4 : 3;
  // Weights reach 2^14 before they are rounded to float16: what is lost is then below 2^-38 of the largest.
  static constexpr float kHeadroom = 14.0f, kUnit = 1.0f / 16384.0f;

  // Lane l has keys, or dimensions, l / 4 and l / 4 + 8, of queries 2 (l % 4) and the next.
  struct Regs {
    float out[kSteps][4];
    float scores[4], rest[4];
    float max[2], sum[2], fade[2], high[2], other[2];
    std::uint32_t rows[4], q[2], qRest[2], weights[2], across[2];
  };

  template <class Cx>
  static KVASIR_DEVICE void loadQueries(Cx& cx, typename Cx::template Shared<std::uint32_t> words, const float* q, int headDim,
                                        int queries, float scale) {
    cx.each([&](int thread) {
      for (int i = thread; i < kSteps * kWarp; i += Tiles::kWarps * kWarp) {
        const int step = i / kWarp, lane = i % kWarp, query = lane / 4;
        Vec16 vector;
        KVASIR_UNROLL
        for (int half = 0; half < 2; ++half) {
          const int dim = 16 * step + 8 * half + 2 * (lane % 4);
          float x = 0.0f, y = 0.0f, roundX, roundY;
          if (query < queries && dim < headDim) {
            x = q[query * headDim + dim] * scale;
            y = q[query * headDim + dim + 1] * scale;
          }
          vector.word[half] = cx.toHalves(x, y);
          cx.toFloats(vector.word[half], roundX, roundY);
          vector.word[2 + half] = cx.toHalves(x - roundX, y - roundY);
        }
        cx.store16(words + 4 * i, vector);
      }
    });
  }

  template <class Cx>
  static KVASIR_DEVICE void begin(Cx& cx, typename Cx::template Threads<Regs>& regs) {
    cx.each(regs, [&](int, Regs& r) {
      KVASIR_UNROLL
      for (int j = 0; j < 2; ++j) {
        r.max[j] = -INFINITY;
        r.sum[j] = 0.0f;
      }
      KVASIR_UNROLL
      for (int step = 0; step < kSteps; ++step) {
        KVASIR_UNROLL
        for (int i = 0; i < 4; ++i) r.out[step][i] = 0.0f;
      }
    });
  }

  // Scores of a tile's K rows, and from them the weights of its tokens.
  template <class Cx>
  static KVASIR_DEVICE void score(Cx& cx, typename Cx::template Threads<Regs>& regs, typename Cx::template Shared<T> slot,
                                  const typename Tiles::Layout& layout, typename Cx::template Shared<std::uint32_t> queries, int steps,
                                  int tokens, typename Cx::template Shared<float>) {
    cx.each(regs, [&](int, Regs& r) {
      KVASIR_UNROLL
      for (int i = 0; i < 4; ++i) r.scores[i] = r.rest[i] = 0.0f;
    });
    KVASIR_UNROLL
    for (int step = 0; step < kSteps; ++step) {
      if (step >= steps) break;
      // Lanes of a matrix: keys 0 to 7 and 8 to 15 of the step's first eight dimensions, then of its last.
      cx.ldmatrix4(regs, &Regs::rows, [&](int thread, const Regs&) {
        const int lane = thread % kWarp;
        return slot + layout.at(lane % 16, 2 * step + lane / 16);
      });
      cx.each(regs, [&](int thread, Regs& r) {
        const Vec16 words = cx.load16(queries + 4 * (step * kWarp + thread % kWarp));
        r.q[0] = words.word[0];
        r.q[1] = words.word[1];
        r.qRest[0] = words.word[2];
        r.qRest[1] = words.word[3];
      });
      cx.mma16816(regs, &Regs::scores, &Regs::rows, &Regs::q);
      cx.mma16816(regs, &Regs::rest, &Regs::rows, &Regs::qRest);
    }
    cx.each(regs, [&](int thread, Regs& r) {
      KVASIR_UNROLL
      for (int i = 0; i < 4; ++i) {
        r.scores[i] += r.rest[i];
        if (thread % kWarp / 4 + i / 2 * 8 >= tokens) r.scores[i] = -INFINITY;
      }
      KVASIR_UNROLL
      for (int j = 0; j < 2; ++j) r.high[j] = cx.max(r.scores[j], r.scores[j + 2]);
    });
    acrossKeys(cx, regs, [](Regs& r) -> float(&)[2] { return r.high; }, [&](float a, float b) { return cx.max(a, b); });
    cx.each(regs, [&](int, Regs& r) {
      KVASIR_UNROLL
      for (int j = 0; j < 2; ++j) {
        const float max = cx.max(r.max[j], r.high[j]);
        r.fade[j] = cx.exp2Approx(r.max[j] - max);
        r.max[j] = max;
        const float first = cx.exp2Approx(r.scores[j] - max + kHeadroom), second = cx.exp2Approx(r.scores[j + 2] - max + kHeadroom);
        r.sum[j] = cx.fma(r.sum[j], r.fade[j], first + second);
        r.scores[j] = first;
        r.scores[j + 2] = second;
      }
      KVASIR_UNROLL
      for (int half = 0; half < 2; ++half) r.weights[half] = cx.toHalves(r.scores[2 * half], r.scores[2 * half + 1]);
      KVASIR_UNROLL
      for (int step = 0; step < kSteps; ++step) {
        KVASIR_UNROLL
        for (int i = 0; i < 4; ++i) r.out[step][i] *= r.fade[i % 2];
      }
    });
    // From keys by queries to queries by keys.
    for (int half = 0; half < 2; ++half) {
      cx.transpose(regs, [half](Regs& r) -> std::uint32_t& { return r.weights[half]; },
                   [half](Regs& r) -> std::uint32_t& { return r.across[half]; });
    }
  }

  template <class Cx>
  static KVASIR_DEVICE void add(Cx& cx, typename Cx::template Threads<Regs>& regs, typename Cx::template Shared<T> slot,
                                const typename Tiles::Layout& layout, int steps, int, typename Cx::template Shared<float>) {
    KVASIR_UNROLL
    for (int step = 0; step < kSteps; ++step) {
      if (step >= steps) break;
      // Lanes of a matrix: the step's first eight dimensions and its last of keys 0 to 7, then of keys 8 to 15.
      cx.template ldmatrix4<true>(regs, &Regs::rows, [&](int thread, const Regs&) {
        const int lane = thread % kWarp;
        return slot + layout.at(lane % 8 + lane / 16 * 8, 2 * step + lane / 8 % 2);
      });
      cx.mma16816(regs, [step](Regs& r) -> float(&)[4] { return r.out[step]; }, &Regs::rows, &Regs::across);
    }
  }

  // This warp's state: outs [queries][headDim], stats [queries] of (max, sum).
  template <class Cx>
  static KVASIR_DEVICE void finish(Cx& cx, typename Cx::template Threads<Regs>& regs, typename Cx::template Shared<float> outs,
                                   typename Cx::template Shared<float> stats, int headDim, int queries) {
    acrossKeys(cx, regs, [](Regs& r) -> float(&)[2] { return r.sum; }, [](float a, float b) { return a + b; });
    cx.each(regs, [&](int thread, Regs& r) {
      const int lane = thread % kWarp;
      KVASIR_UNROLL
      for (int j = 0; j < 2; ++j) {
        const int query = 2 * (lane % 4) + j;
        if (query >= queries) continue;
        if (lane < 4) {
          stats[2 * query] = r.max[j];
          stats[2 * query + 1] = r.sum[j] * kUnit;
        }
        KVASIR_UNROLL
        for (int step = 0; step < kSteps; ++step) {
          if (16 * step >= headDim) break;
          outs[query * headDim + 16 * step + lane / 4] = r.out[step][j] * kUnit;
          outs[query * headDim + 16 * step + lane / 4 + 8] = r.out[step][j + 2] * kUnit;
        }
      }
    });
  }

 private:
  // Over the lanes that hold other keys of the same two queries.
  template <class Cx, class Pair, class Join>
  static KVASIR_DEVICE void acrossKeys(Cx& cx, typename Cx::template Threads<Regs>& regs, const Pair& pair, const Join& join) {
    KVASIR_UNROLL
    for (int mask = 4; mask < kWarp; mask *= 2) {
      KVASIR_UNROLL
      for (int j = 0; j < 2; ++j) {
        cx.shuffleXor(regs, [&, j](Regs& r) -> float& { return pair(r)[j]; }, [j](Regs& r) -> float& { return r.other[j]; }, mask);
      }
      cx.each(regs, [&](int, Regs& r) {
        KVASIR_UNROLL
        for (int j = 0; j < 2; ++j) pair(r)[j] = join(pair(r)[j], r.other[j]);
      });
    }
  }
};

}  // namespace kvasir::gpu
