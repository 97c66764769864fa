// Attention of up to eight queries to tiles of 16 rows of float16, on tensor cores: scores S^T = K Q^T, outputs
// O^T += V^T P^T, so that 16 is the number of keys, or of dimensions, and nothing is padded but the queries.
#pragma once

#include "mma_softmax.h"
#include "row_tiles.h"

namespace kvasir::gpu {

template <int kDimSteps>
struct MmaAttention {
  using T = Half;
  static constexpr int kSteps = kDimSteps;
  using Tiles = RowTiles<T, kSteps>;
  using Softmax = MmaSoftmax<kSteps, 14>;
  // q as the words of a lane: two of its rounding to float16, two of what that leaves.
  static constexpr int kQueryBytes = kSteps * kWarp * 16;
  static constexpr int kWarpFloats = 0;
  static constexpr int kMinBlocks = kSteps <= 8 ? 4 : 3;

  struct Regs : Softmax::Regs {
    float rest[4];
    std::uint32_t rows[4], q[2], qRest[2];
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
    Softmax::begin(cx, regs);
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
    });
    Softmax::weigh(cx, regs, [](int) { return 1.0f; });
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

  template <class Cx>
  static KVASIR_DEVICE void finish(Cx& cx, typename Cx::template Threads<Regs>& regs, typename Cx::template Shared<float> outs,
                                   typename Cx::template Shared<float> stats, int headDim, int queries) {
    Softmax::finish(cx, regs, outs, stats, headDim, queries, [](int step, int row) { return 16 * step + row; });
  }
};

}  // namespace kvasir::gpu
