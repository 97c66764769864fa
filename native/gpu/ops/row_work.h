// Work on whole rows, one block or one warp a row: sums and maxima over a row, and rows as f16.
#pragma once

#include "row_vectors.h"

namespace kvasir::gpu {

// kWarps warps share a row of `cols`; a thread has the vectors thread, thread + 32 kWarps, ...
template <int kWarps>
struct RowWork {
  static constexpr int kThreads = kWarps * kWarp;

  template <class Body>
  static KVASIR_DEVICE void eachVector(int thread, int cols, const Body& body) {
    for (int k = 4 * (thread % kThreads); k < cols; k += 4 * kThreads) body(k);
  }

  // Joins one register over the row's threads, in the order of the warps. `shared`: [kWarps], unused before.
  template <class Cx, class Regs, class T, class Words, class Join>
  static KVASIR_DEVICE void joinWarps(Cx& cx, typename Cx::template Threads<Regs>& regs, T Regs::*value, Words shared, const Join& join) {
    if constexpr (kWarps > 1) {
      cx.each(regs, [&](int thread, Regs& r) {
        if (thread % kWarp == 0) shared[thread / kWarp] = r.*value;
      });
      cx.barrier();
      cx.each(regs, [&](int, Regs& r) {
        r.*value = shared[0];
        KVASIR_UNROLL
        for (int w = 1; w < kWarps; ++w) {
          const T other = shared[w];
          r.*value = join(r.*value, other);
        }
      });
    }
  }

  template <class Cx, class Regs, class Words>
  static KVASIR_DEVICE void sum(Cx& cx, typename Cx::template Threads<Regs>& regs, float Regs::*value, Words shared) {
    cx.warpSum(regs, value);
    joinWarps(cx, regs, value, shared, [](float a, float b) { return a + b; });
  }
  template <class Cx, class Regs, class Words>
  static KVASIR_DEVICE void largest(Cx& cx, typename Cx::template Threads<Regs>& regs, std::uint32_t Regs::*value, Words shared) {
    cx.warpMax(regs, value);
    joinWarps(cx, regs, value, shared, [](std::uint32_t a, std::uint32_t b) { return most(a, b); });
  }

  // Row `row` of `prepared`, from its largest magnitude; valueAt(k, values) gives its four numbers from k on.
  template <class Cx, class ValueAt>
  static KVASIR_DEVICE void prepare(Cx& cx, const KvasirHalfRows& prepared, std::size_t row, int cols, int halfCols, int thread,
                                    std::uint32_t largest, const ValueAt& valueAt) {
    const RowFactors factors = rowFactors(cx, largest);
    std::uint16_t* halves = prepared.halves + row * static_cast<std::size_t>(halfCols);
    if (thread % kThreads == 0) prepared.scales[row] = factors.up;
    eachVector(thread, halfCols, [&](int k) {
      float values[4] = {};
      if (k < cols) valueAt(k, values);
      storeHalves4(cx, halves + k, values, factors.down);
    });
  }
};

}  // namespace kvasir::gpu
