// f32 rows -> f16 rows with a power of two each: what the fast mode of linear reads. Bound: a launch, and x once from memory
// and once from caches.
#pragma once

#include "../context/launcher.h"
#include "row_work.h"

namespace kvasir::gpu {

struct ScaleRows {
  struct Args {
    const float* x;
    std::size_t xStride;
    int cols, halfCols;
    bool vectors;
    KvasirHalfRows prepared;
  };

  static constexpr int kWarps = 8, kThreads = kWarps * kWarp, kMinBlocks = 4;
  static constexpr unsigned kSharedBytes = kWarps * 4;

  struct Regs {
    std::uint32_t largest;
  };

  static Plan plan(int rows) { return {static_cast<unsigned>(rows), 1, kSharedBytes}; }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    typename Cx::template Threads<Regs> regs(cx);
    auto shared = cx.template shared<std::uint32_t>(kWarps);
    const std::size_t row = static_cast<std::size_t>(cx.blockX());
    const float* x = args.x + row * args.xStride;
    const auto valueAt = [&](int k, float(&values)[4]) { loadUpTo4(cx, x + k, args.cols - k, args.vectors, values); };
    cx.each(regs, [&](int thread, Regs& r) {
      r.largest = 0;
      RowWork<kWarps>::eachVector(thread, args.cols, [&](int k) {
        float values[4];
        valueAt(k, values);
        r.largest = largestOf(cx, r.largest, values);
      });
    });
    RowWork<kWarps>::largest(cx, regs, &Regs::largest, shared);
    cx.each(regs, [&](int thread, Regs& r) {
      RowWork<kWarps>::prepare(cx, args.prepared, row, args.cols, args.halfCols, thread, r.largest, valueAt);
    });
  }
};

}  // namespace kvasir::gpu
