// Activations to 8 bits: scale = largest magnitude / 127, codes rounded to nearest, ties to even.
#pragma once

#include "kernels.h"
#include "simd_unroll.h"

namespace kvasir::lin {
namespace {

template <class S>
struct Quantise {
  static void quantise(const float* x, int blocks, ActBlock* out) {
    for (int b = 0; b < blocks; ++b, x += blockCols, ++out) {
      const float largest = S::largestMagnitude32(x);
      const bool empty = largest < 1e-35f;  // 127 / largest would overflow
      out->scale = empty ? 0.0f : largest / 127.0f;
      int halves[2];
      S::roundCodes32(x, empty ? 0.0f : 127.0f / largest, out->codes, halves);
      out->half[0] = static_cast<std::int16_t>(halves[0]);
      out->half[1] = static_cast<std::int16_t>(halves[1]);
      out->sum = out->scale * static_cast<float>(halves[0] + halves[1]);
    }
  }

  static void blockSums(const float* x, int blocks, float* out) {
    for (int b = 0; b < blocks; ++b, x += blockCols) {
      typename S::F sum = S::loadFloats(x);
      for (int k = S::lanes; k < blockCols; k += S::lanes) sum = S::add(sum, S::loadFloats(x + k));
      out[b] = S::addLanes(sum);
    }
  }
};

}  // namespace
}  // namespace kvasir::lin
