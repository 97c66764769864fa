// Many rows, exact: 64 outputs times 64 rows a block, 8 times 4 a thread, f32 throughout. A sum runs over the columns in order.
// Bound: f32 fma, 128 of them for 12 vector loads of shared memory.
#pragma once

#include "linear_parts.h"

namespace kvasir::gpu {

struct LinearExact {
  using Args = LinearArgs;

  static constexpr int kWarps = 4, kThreads = kWarps * kWarp, kMinBlocks = 3;
  static constexpr int kOuts = kWarps * kGroupRows, kRows = 64, kStride = 68;  // floats a column of weights, a row of x
  static constexpr unsigned kSharedBytes = (kTileCols + kRows) * kStride * 4;

  struct Regs {
    float sums[4][8];
  };

  static int blocksOf(int rows) { return ceilDiv(groupsOf(rows), kWarps); }
  static Plan plan(const LinearArgs& args) {
    Plan plan{0, static_cast<unsigned>(ceilDiv(args.rows, kRows)), kSharedBytes};
    for (int p = 0; p < args.numParts; ++p) plan.gridX += static_cast<unsigned>(args.parts[p].blocks);
    return plan;
  }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    typename Cx::template Threads<Regs> regs(cx);
    auto weights = cx.template shared<float>(kTileCols * kStride);  // [column][output]
    auto input = cx.template shared<float>(kRows * kStride);        // [row][column]
    int block = cx.blockX();
    const LinearPartArgs& part = partOf(args, block);
    const int firstRow = cx.blockY() * kRows;
    cx.each(regs, [&](int, Regs& r) {
      KVASIR_UNROLL
      for (int i = 0; i < 32; ++i) r.sums[i / 8][i % 8] = 0.0f;
    });
    for (int tile = 0; tile < args.tiles; ++tile) {
      cx.each([&](int thread) {
        takeInput(cx, args, input, firstRow, tile, thread);
        takeWeights(cx, args, part, weights, block * kWarps + thread / kWarp, tile, thread);
      });
      cx.barrier();
      cx.each(regs, [&](int thread, Regs& r) { addTile(cx, weights, input, thread, r); });
      cx.barrier();
    }
    cx.each(regs, [&](int thread, Regs& r) {
      KVASIR_UNROLL
      for (int i = 0; i < 32; ++i) {
        const int row = firstRow + 4 * (thread / 8) + i / 8, n = block * kOuts + outAt(thread, i % 8);
        if (row < args.rows && n < part.rows) storeOutput(part, row, n, r.sums[i / 8][i % 8]);
      }
    });
  }

 private:
  // Eight lanes side by side read all banks: four outputs of one half, four of the other.
  static KVASIR_DEVICE int outAt(int thread, int i) { return i / 4 * 32 + 4 * (thread % 8) + i % 4; }

  template <class Cx, class Shared>
  static KVASIR_DEVICE void takeInput(Cx& cx, const Args& args, Shared input, int firstRow, int tile, int thread) {
    KVASIR_UNROLL
    for (int v = 0; v < kRows * kTileCols / 4 / kThreads; ++v) {
      const int vector = v * kThreads + thread, row = vector / 16, k = vector % 16 * 4;
      const int count = firstRow + row < args.rows ? args.cols - tile * kTileCols - k : 0;
      float values[4];
      loadUpTo4(cx, args.x + static_cast<std::size_t>(count > 0 ? firstRow + row : 0) * args.xStride + tile * kTileCols + k, count,
                args.vectors, values);
      cx.store16(input + row * kStride + k,
                 {{cx.asBits(values[0]), cx.asBits(values[1]), cx.asBits(values[2]), cx.asBits(values[3])}});
    }
  }

  template <class Cx, class Shared>
  static KVASIR_DEVICE void takeWeights(Cx& cx, const Args& args, const LinearPartArgs& part, Shared weights, int group, int tile,
                                        int thread) {
    const int g = thread % kWarp / 4, t = thread % 4, at = thread / kWarp * kGroupRows + g;
    const int known = least(group, groupsOf(part.rows) - 1);  // groups behind the last one are not stored
    withStoredType(part.type, [&](auto stored) {
      constexpr TileLayout kLayout = tileLayoutOf(decltype(stored)::value);
      const std::uint32_t* words = part.weights + static_cast<std::size_t>(known) * kLayout.groupWords(args.tiles);
      TileSteps<decltype(stored)::value, 4> steps;
      steps.load(cx, words + kLayout.tileOf(tile), words + kLayout.headOf(tile), thread % kWarp, 0);
      const RowScales scales = steps.rowScales(cx);
      KVASIR_UNROLL
      for (int s = 0; s < 4; ++s) {
        KVASIR_UNROLL
        for (int i = 0; i < 4; ++i) {
          const int k = 16 * t + 4 * s + i / 2 * 2;
          float first, second;
          steps.floats(cx, scales, s, i, first, second);
          weights[k * kStride + at + i % 2 * 8] = first;
          weights[(k + 1) * kStride + at + i % 2 * 8] = second;
        }
      }
    });
  }

  template <class Cx, class Shared>
  static KVASIR_DEVICE void addTile(Cx& cx, Shared weights, Shared input, int thread, Regs& r) {
    for (int k = 0; k < kTileCols; k += 4) {
      Vec16 x[4];
      KVASIR_UNROLL
      for (int row = 0; row < 4; ++row) x[row] = cx.load16(input + (4 * (thread / 8) + row) * kStride + k);
      KVASIR_UNROLL
      for (int j = 0; j < 4; ++j) {
        KVASIR_UNROLL
        for (int half = 0; half < 2; ++half) {
          const Vec16 w = cx.load16(weights + (k + j) * kStride + outAt(thread, 4 * half));
          KVASIR_UNROLL
          for (int i = 0; i < 16; ++i) {
            float& sum = r.sums[i / 4][4 * half + i % 4];
            sum = cx.fma(cx.asFloat(x[i / 4].word[j]), cx.asFloat(w.word[i % 4]), sum);
          }
        }
      }
    }
  }
};

}  // namespace kvasir::gpu
