// Rotates rows in place: each thread has both values of its pairs.
#pragma once

#include "../args/rope_rows.h"
#include "../context/launcher.h"
#include "elements.h"
#include "rows.h"

namespace kvasir::gpu {

// kPairs a thread: 4 by vectors where halves are whole vectors, 2 where pairs are neighbours, else 1.
template <int kPairing, int kPairs>
struct RopeRows {
  struct Args {
    KvasirRopeRowsArgs op;
    int laneBits;  // log2 of the threads that a head of a row gets
  };

  static constexpr int kThreads = kCopyThreads;
  static constexpr int kMinBlocks = 8;
  static constexpr unsigned kSharedBytes = 0;

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const KvasirRopeRowsArgs& op = args.op;
    const int rowsPerBlock = kThreads >> args.laneBits, lanes = 1 << args.laneBits, pairs = op.rotaryDim / 2;
    cx.each([&](int thread) {
      for (int r = cx.blockX() * rowsPerBlock + (thread >> args.laneBits); r < op.rows; r += cx.gridX() * rowsPerBlock) {
        const std::size_t row = static_cast<std::size_t>(r);
        float* x = op.x + (row * static_cast<std::size_t>(op.numHeads) + static_cast<std::size_t>(cx.blockY())) *
                              static_cast<std::size_t>(op.headDim);
        const float *cos = op.cos + row * static_cast<std::size_t>(pairs), *sin = op.sin + row * static_cast<std::size_t>(pairs);
        for (int i = (thread & (lanes - 1)) * kPairs; i < pairs; i += lanes * kPairs) rotate(cx, x, cos + i, sin + i, i, pairs);
      }
    });
  }

 private:
  template <class Cx>
  static KVASIR_DEVICE void rotate(Cx& cx, float* x, const float* cos, const float* sin, int i, int pairs) {
    if constexpr (kPairs == 1) {
      float& first = x[kPairing == KVASIR_PAIRS_HALF ? i : 2 * i];
      float& second = x[kPairing == KVASIR_PAIRS_HALF ? i + pairs : 2 * i + 1];
      const float a = first, b = second, c = cos[0], s = sin[0];
      first = a * c - b * s;
      second = b * c + a * s;
    } else {
      float c[kPairs], s[kPairs], values[2 * kPairs];
      loadFloats<kPairs>(cx, cos, c);
      loadFloats<kPairs>(cx, sin, s);
      constexpr bool kHalf = kPairing == KVASIR_PAIRS_HALF;
      if constexpr (kHalf) {
        loadFloats<kPairs>(cx, x + i, values);
        loadFloats<kPairs>(cx, x + i + pairs, values + kPairs);
      } else {
        loadFloats<2 * kPairs>(cx, x + 2 * i, values);
      }
      KVASIR_UNROLL
      for (int p = 0; p < kPairs; ++p) {
        float &first = values[kHalf ? p : 2 * p], &second = values[kHalf ? p + kPairs : 2 * p + 1];
        const float a = first, b = second;
        first = a * c[p] - b * s[p];
        second = b * c[p] + a * s[p];
      }
      KVASIR_UNROLL
      for (int v = 0; v < 2 * kPairs; v += 4) {
        const Vec16 vector = {{cx.asBits(values[v]), cx.asBits(values[v + 1]), cx.asBits(values[v + 2]), cx.asBits(values[v + 3])}};
        cx.store16(kHalf ? x + i + (v == 0 ? 0 : pairs) : x + 2 * i + v, vector);
      }
    }
  }
};

template <int kPairing, int kPairs>
int runRopeRows(Launcher launcher, const KvasirRopeRowsArgs& args) {
  const int laneBits = log2Of(lanesOf(static_cast<std::size_t>(ceilDiv(args.rotaryDim / 2, kPairs))));
  Plan plan;
  plan.gridX = boundedGrid(ceilDiv(args.rows, kCopyThreads >> laneBits), 0);
  plan.gridY = static_cast<unsigned>(args.numHeads);
  return launcher.run<RopeRows<kPairing, kPairs>>(plan, {args, laneBits});
}

inline int launchRopeRows(Launcher launcher, const KvasirRopeRowsArgs& args) {
  if (args.rows < 0 || args.numHeads < 0) return launcher.refuse("ropeRows: rows or numHeads is negative");
  if (args.headDim <= 0 || args.headDim % 4 != 0) return launcher.refuse("ropeRows: headDim must be a multiple of 4");
  if (args.rotaryDim < 0 || args.rotaryDim % 2 != 0 || args.rotaryDim > args.headDim) {
    return launcher.refuse("ropeRows: rotaryDim must be even and at most headDim");
  }
  if (args.rows == 0 || args.numHeads == 0 || args.rotaryDim == 0) return KVASIR_GPU_OK;
  if (args.pairing == KVASIR_PAIRS_INTERLEAVED) {
    return args.rotaryDim % 4 == 0 ? runRopeRows<KVASIR_PAIRS_INTERLEAVED, 2>(launcher, args)
                                   : runRopeRows<KVASIR_PAIRS_INTERLEAVED, 1>(launcher, args);
  }
  return args.rotaryDim % 8 == 0 ? runRopeRows<KVASIR_PAIRS_HALF, 4>(launcher, args)
                                 : runRopeRows<KVASIR_PAIRS_HALF, 1>(launcher, args);
}

}  // namespace kvasir::gpu
