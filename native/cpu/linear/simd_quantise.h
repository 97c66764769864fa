// Activations as integers: 8 bits (fast) or three 8-bit digits (exact), with one scale per block of 32.
#pragma once

#include "half.h"
#include "kernels.h"
#include "simd_unroll.h"

namespace kvasir::lin {
namespace {

template <class S>
struct Quantise {
  using I = typename S::I;
  static constexpr int vectors = blockCols / S::lanes;

  // Compared as bits: NaN is above everything, and makes the scale NaN.
  KVASIR_INLINE static inline float largestMagnitude(const float* x) {
    I largest = S::magnitudeBits(S::loadFloats(x));
    KVASIR_UNROLL
    for (int v = 1; v < vectors; ++v) largest = S::maxInts(largest, S::magnitudeBits(S::loadFloats(x + S::lanes * v)));
    return fromBits(static_cast<std::uint32_t>(S::maxLane(largest)));
  }

  static void quantise(const float* x, int blocks, ActBlock* out) {
    for (int b = 0; b < blocks; ++b, x += blockCols, ++out) {
      const float largest = largestMagnitude(x);
      const bool empty = largest < smallestMagnitude;
      const float scale = empty ? 0.0f : largest * (1.0f / 127);
      const typename S::F inverse = S::broadcast(empty ? 0.0f : 127 / largest);
      KVASIR_UNROLL
      for (int v = 0; v < vectors; ++v)
        S::storeLowBytes(out->codes + S::lanes * v, S::roundToInts(S::mul(S::loadFloats(x + S::lanes * v), inverse)));
      const int first = S::sumBytes16(out->codes), second = S::sumBytes16(out->codes + 16);
      out->scale = scale;
      out->sum = scale * static_cast<float>(first + second);
      out->minusTotal = -(first + second);
      out->minusHalf[0] = -first;
      out->minusHalf[1] = -second;
    }
  }

  static void splitDigits(const float* x, int blocks, DigitBlock* out) {
    for (int b = 0; b < blocks; ++b, x += blockCols, ++out) {
      const float largest = largestMagnitude(x);
      const bool empty = largest < smallestMagnitude;
      const float scale = empty ? 0.0f : largest * (1.0f / digitRange);
      const typename S::F inverse = S::broadcast(empty ? 0.0f : digitRange / largest);
      KVASIR_UNROLL
      for (int v = 0; v < vectors; ++v) {
        const I value = S::roundToInts(S::mul(S::loadFloats(x + S::lanes * v), inverse));
        const I low = S::template signedByte<0>(value);
        const I rest = S::shiftRight8(S::subtractInts(value, low));
        const I middle = S::template signedByte<0>(rest);
        S::storeLowBytes(out->digits[2] + S::lanes * v, low);
        S::storeLowBytes(out->digits[1] + S::lanes * v, middle);
        S::storeLowBytes(out->digits[0] + S::lanes * v, S::shiftRight8(S::subtractInts(rest, middle)));
      }
      out->scale = scale;
      for (int h = 0; h < 2; ++h) {
        int sum = 0;
        for (int d = 0; d < 3; ++d) {
          const int digitSum = S::sumBytes16(out->digits[d] + 16 * h);
          out->half[d][h] = static_cast<std::int16_t>(digitSum);
          sum = sum * 256 + digitSum;
        }
        out->sum[h] = scale * static_cast<float>(sum);
      }
    }
  }
};

}  // namespace
}  // namespace kvasir::lin
