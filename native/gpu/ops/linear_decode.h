// Few rows: a block has 16 outputs, its eight warps every eighth tile of their columns each, added up at the end in the order
// of the warps. Every weight is read once, by 16-byte vectors that are several tiles ahead, for up to 16 rows at a time.
// Bound: the weights from memory. On an H200 that is 3.4 issue slots a weight of 4 bits: fast takes about 2, exact 4 + rows.
#pragma once

#include "linear_parts.h"

namespace kvasir::gpu {

template <int kType, bool kFast>
struct LinearDecode {
  using Args = LinearArgs;
  using Steps = TileSteps<kType, 4>;

  static constexpr int kWarps = 8, kThreads = kWarps * kWarp, kMinBlocks = 2, kRows = 16;
  static constexpr unsigned kSharedBytes = kWarps * kRows * kGroupRows * 4;
  // Tiles under way: about 2 KiB a warp, and half of it where arithmetic takes longer than they do.
  static constexpr int kAhead = most(1, (kFast ? 16 : 8) / Steps::kWords);
  KVASIR_BOTH static constexpr TileLayout layout() { return tileLayoutOf(kType); }

  struct Regs {
    Steps ahead[kAhead];
    std::uint32_t left[4], right[2][4][2];
    float mma[2][4];
    float sums[kRows][2];
  };

  static Plan plan(const LinearArgs& args) {
    Plan plan{0, static_cast<unsigned>(ceilDiv(args.rows, kRows)), kSharedBytes};
    for (int p = 0; p < args.numParts; ++p) plan.gridX += static_cast<unsigned>(args.parts[p].blocks);
    return plan;
  }
  static int blocksOf(int rows) { return groupsOf(rows); }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    typename Cx::template Threads<Regs> regs(cx);
    auto shared = cx.template shared<float>(kWarps * kRows * kGroupRows);  // [warp][row][output]
    int group = cx.blockX();
    const LinearPartArgs& part = partOf(args, group);
    const std::uint32_t* weights = part.weights + static_cast<std::size_t>(group) * layout().groupWords(args.tiles);
    const int firstRow = cx.blockY() * kRows, rows = least(kRows, args.rows - firstRow);

    cx.warps([&](int warp) {
      cx.each(regs, [&](int, Regs& r) { clear(r); });
      for (int first = warp; first < args.tiles; first += kWarps * kAhead) {
        cx.each(regs, [&](int thread, Regs& r) {
          KVASIR_UNROLL
          for (int a = 0; a < kAhead; ++a) {
            const int tile = first + a * kWarps;
            if (tile < args.tiles) r.ahead[a].load(cx, weights + layout().tileOf(tile), weights + layout().headOf(tile), thread % kWarp, 0);
          }
        });
        KVASIR_UNROLL
        for (int a = 0; a < kAhead; ++a) {
          const int tile = first + a * kWarps;
          if (tile >= args.tiles) break;
          if constexpr (kFast) addHalves(cx, regs, args, a, tile, firstRow, rows);
          else cx.each(regs, [&](int thread, Regs& r) { addFloats(cx, args, r.ahead[a], tile, firstRow, rows, thread % kWarp, r); });
        }
      }
      auto own = shared + warp * kRows * kGroupRows;
      if constexpr (kFast) keepFragments(cx, regs, own, rows);
      else keepSums(cx, regs, own, rows);
    });
    cx.barrier();
    cx.each([&](int thread) {
      const int row = thread / kGroupRows, n = group * kGroupRows + thread % kGroupRows;
      if (row >= rows || n >= part.rows) return;
      float sum = shared[thread];
      KVASIR_UNROLL
      for (int w = 1; w < kWarps; ++w) {
        const float other = shared[w * kRows * kGroupRows + thread];
        sum = sum + other;
      }
      if constexpr (kFast) sum = sum * args.scales[firstRow + row];
      storeOutput(part, firstRow + row, n, sum);
    });
  }

 private:
  static_assert(kThreads == kRows * kGroupRows, "a thread an output at the end");

  static KVASIR_DEVICE void clear(Regs& r) {
    if constexpr (kFast) {
      KVASIR_UNROLL
      for (int i = 0; i < 8; ++i) r.mma[i / 4][i % 4] = 0.0f;
    } else {
      KVASIR_UNROLL
      for (int i = 0; i < 2 * kRows; ++i) r.sums[i / 2][i % 2] = 0.0f;
    }
  }

  // Tile `tile`, which lies in ahead[a]: weights on the left of mma, eight rows of x on its right.
  template <class Cx>
  static KVASIR_DEVICE void addHalves(Cx& cx, typename Cx::template Threads<Regs>& regs, const Args& args, int a, int tile, int firstRow,
                                      int rows) {
    cx.each(regs, [&](int thread, Regs& r) {
      const int lane = thread % kWarp;
      KVASIR_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int row = 8 * half + lane / 4;
        const std::uint16_t* x = args.halves + (static_cast<std::size_t>(firstRow + row) * static_cast<std::size_t>(args.tiles) +
                                                static_cast<std::size_t>(tile)) * kTileCols + 16 * (lane % 4);
        KVASIR_UNROLL
        for (int v = 0; v < 2; ++v) {
          Vec16 words = {};
          if (row < rows) words = cx.load16(x + 8 * v);
          KVASIR_UNROLL
          for (int i = 0; i < 4; ++i) r.right[half][2 * v + i / 2][i % 2] = words.word[i];
        }
      }
    });
    KVASIR_UNROLL
    for (int s = 0; s < 4; ++s) {
      cx.each(regs, [&](int, Regs& r) {
        std::uint32_t scale[2], min[2];
        halfScales(cx, r.ahead[a].rowScales(cx), scale, min);
        leftOperand(cx, r.ahead[a], scale, min, s, r.left);
      });
      KVASIR_UNROLL
      for (int half = 0; half < 2; ++half) {
        if (8 * half >= rows) break;
        cx.mma16816(regs, [=](Regs& r) -> float(&)[4] { return r.mma[half]; }, &Regs::left,
                    [=](Regs& r) -> std::uint32_t(&)[2] { return r.right[half][s]; });
      }
    }
  }

  template <class Cx, class Shared>
  static KVASIR_DEVICE void keepFragments(Cx& cx, typename Cx::template Threads<Regs>& regs, Shared own, int rows) {
    cx.each(regs, [&](int thread, Regs& r) {
      const int g = thread % kWarp / 4, t = thread % 4;
      KVASIR_UNROLL
      for (int half = 0; half < 2; ++half) {
        if (8 * half >= rows) break;
        KVASIR_UNROLL
        for (int i = 0; i < 4; ++i) own[(8 * half + 2 * t + i % 2) * kGroupRows + g + i / 2 * 8] = r.mma[half][i];
      }
    });
  }

  // Each lane its 16 columns, one after the other, of two outputs.
  template <class Cx>
  static KVASIR_DEVICE void addFloats(Cx& cx, const Args& args, const Steps& steps, int tile, int firstRow, int rows, int lane, Regs& r) {
    const RowScales scales = steps.rowScales(cx);
    KVASIR_UNROLL
    for (int s = 0; s < 4; ++s) {
      const int k = tile * kTileCols + 16 * (lane % 4) + 4 * s;
      float w[4][2];  // by pairs: i % 2 is the output
      KVASIR_UNROLL
      for (int i = 0; i < 4; ++i) steps.floats(cx, scales, s, i, w[i][0], w[i][1]);
      const float* x = args.x + static_cast<std::size_t>(firstRow) * args.xStride + k;
      KVASIR_UNROLL
      for (int row = 0; row < kRows; ++row, x += args.xStride) {
        if (row >= rows) break;
        float values[4];
        loadUpTo4(cx, x, args.cols - k, args.vectors, values);
        KVASIR_UNROLL
        for (int i = 0; i < 4; ++i) {
          float& sum = r.sums[row][i % 2];
          sum = cx.fma(w[i][1], values[i / 2 * 2 + 1], cx.fma(w[i][0], values[i / 2 * 2], sum));
        }
      }
    }
  }

  template <class Cx, class Shared>
  static KVASIR_DEVICE void keepSums(Cx& cx, typename Cx::template Threads<Regs>& regs, Shared own, int rows) {
    KVASIR_UNROLL
    for (int row = 0; row < kRows; ++row) {
      if (row >= rows) break;
      cx.template warpSum<4>(regs, [=](Regs& r) -> float& { return r.sums[row][0]; });
      cx.template warpSum<4>(regs, [=](Regs& r) -> float& { return r.sums[row][1]; });
    }
    cx.each(regs, [&](int thread, Regs& r) {
      if (thread % 4 != 0) return;
      KVASIR_UNROLL
      for (int row = 0; row < kRows; ++row) {
        if (row >= rows) break;
        own[row * kGroupRows + thread % kWarp / 4] = r.sums[row][0];
        own[row * kGroupRows + thread % kWarp / 4 + 8] = r.sums[row][1];
      }
    });
  }
};

}  // namespace kvasir::gpu
