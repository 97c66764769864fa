// How far new rows are from those that a cache holds: a warp a row, all its heads.
#pragma once

#include "../args/compare_kv.h"
#include "../context/launcher.h"
#include "elements.h"
#include "slot_rows.h"

namespace kvasir::gpu {

// Bound: reading; 6 bytes a value of f16.
template <class T>
struct CompareKv {
  using Args = KvasirCompareKvArgs;

  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 8;
  static constexpr unsigned kSharedBytes = 0;
  static constexpr int kCount = kPerVector<T>, kRows = kThreads / kWarp;

  struct Regs {
    float sums[4];  // squares of differences of K and of V, then of K and V themselves
  };

  static Plan plan(int rows) { return {static_cast<unsigned>(ceilDiv(rows, kRows)), 1, 0}; }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    typename Cx::template Threads<Regs> regs(cx);
    cx.warps([&](int warp) {
      const int r = cx.blockX() * kRows + warp;
      if (r >= args.rows) return;
      cx.each(regs, [&](int thread, Regs& own) {
        KVASIR_UNROLL
        for (int i = 0; i < 4; ++i) own.sums[i] = 0.0f;
        add<0>(cx, args, r, thread % kWarp, args.keys, own);
        add<1>(cx, args, r, thread % kWarp, args.values, own);
      });
      KVASIR_UNROLL
      for (int i = 0; i < 4; ++i) cx.warpSum(regs, [i](Regs& own) -> float& { return own.sums[i]; });
      cx.each(regs, [&](int thread, Regs& own) {
        if (thread % kWarp != 0) return;
        args.out[2 * static_cast<std::size_t>(r)] = cx.sqrt(own.sums[0]) + cx.sqrt(own.sums[1]);
        args.out[2 * static_cast<std::size_t>(r) + 1] = cx.sqrt(own.sums[2]) + cx.sqrt(own.sums[3]);
      });
    });
  }

 private:
  template <int kValues, class Cx>
  static KVASIR_DEVICE void add(Cx& cx, const Args& args, int r, int lane, const float* rows, Regs& own) {
    const int headDim = args.at.kv.headDim, vectors = headDim / kCount, all = args.at.kv.numKvHeads * vectors;
    const float* row = rows + static_cast<std::size_t>(r) * static_cast<std::size_t>(args.at.kv.numKvHeads * headDim);
    const int slot = args.at.slots[r];
    for (int v = lane; v < all; v += kWarp) {
      const std::uint8_t* held = rowOf(args.at, slot, v / vectors, kValues == 1, 16 * vectors) + 16 * (v % vectors);
      float x[kCount], y[kCount];
      loadFloats<kCount>(cx, row + v * kCount, x);
      unpack<T>(cx, cx.load16(held), y);
      KVASIR_UNROLL
      for (int i = 0; i < kCount; ++i) {
        const float apart = x[i] - y[i];
        own.sums[kValues] = cx.fma(apart, apart, own.sums[kValues]);
        own.sums[2 + kValues] = cx.fma(x[i], x[i], own.sums[2 + kValues]);
      }
    }
  }
};

inline int launchCompareKv(Launcher launcher, const KvasirCompareKvArgs& args) {
  if (args.rows < 0) return launcher.refuse("compareKv: rows is negative");
  if (!isStored(args.at.kv)) return launcher.refuse("compareKv: type must be f16 or f32, rows 16 to 2048 bytes, a multiple of 16");
  if (args.rows == 0) return KVASIR_GPU_OK;
  if (args.at.kv.type == KVASIR_F16) return launcher.run<CompareKv<Half>>(CompareKv<Half>::plan(args.rows), args);
  return launcher.run<CompareKv<float>>(CompareKv<float>::plan(args.rows), args);
}

}  // namespace kvasir::gpu
