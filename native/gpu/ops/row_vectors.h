// Rows of f32 of any length and alignment, four numbers at a time; rows of f16 for the fast mode of linear.
#pragma once

#include "../args/weights.h"
#include "../context/vocabulary.h"

namespace kvasir::gpu {

inline bool isAligned(const void* address, std::size_t to = 16) { return reinterpret_cast<std::uintptr_t>(address) % to == 0; }

// values = from[0 .. 4), zeros from `count` on.
template <class Cx>
KVASIR_DEVICE void loadUpTo4(Cx& cx, const float* from, int count, bool vectors, float (&values)[4]) {
  if (vectors && count >= 4) {
    const Vec16 vector = cx.load16(from);
    KVASIR_UNROLL
    for (int i = 0; i < 4; ++i) values[i] = cx.asFloat(vector.word[i]);
  } else {
    KVASIR_UNROLL
    for (int i = 0; i < 4; ++i) values[i] = i < count ? from[i] : 0.0f;
  }
}

template <class Cx>
KVASIR_DEVICE void storeUpTo4(Cx& cx, float* to, int count, bool vectors, const float (&values)[4]) {
  if (vectors && count >= 4) {
    cx.store16(to, {{cx.asBits(values[0]), cx.asBits(values[1]), cx.asBits(values[2]), cx.asBits(values[3])}});
  } else {
    KVASIR_UNROLL
    for (int i = 0; i < 4; ++i) {
      if (i < count) to[i] = values[i];
    }
  }
}

// What scales a row to f16 and back, from the bits of its largest magnitude.
struct RowFactors {
  float down;  // times a value: as it is stored
  float up;
};

template <class Cx>
KVASIR_DEVICE RowFactors rowFactors(Cx& cx, std::uint32_t largest) {
  const std::uint32_t exponent = most(largest >> 23, 15u);
  if (exponent >= 255) return {cx.asFloat(0x7fc00000u), cx.asFloat(0x7fc00000u)};
  return {cx.asFloat((268 - exponent) << 23), cx.asFloat((exponent - 14) << 23)};
}

// The largest magnitude as bits: NaN is above everything.
template <class Cx>
KVASIR_DEVICE std::uint32_t largestOf(Cx& cx, std::uint32_t largest, const float (&values)[4]) {
  KVASIR_UNROLL
  for (int i = 0; i < 4; ++i) largest = most(largest, cx.asBits(values[i]) & 0x7fffffffu);
  return largest;
}

template <class Cx>
KVASIR_DEVICE void storeHalves4(Cx& cx, std::uint16_t* to, const float (&values)[4], float down) {
  cx.store8(to, {{cx.toHalves(values[0] * down, values[1] * down), cx.toHalves(values[2] * down, values[3] * down)}});
}

}  // namespace kvasir::gpu
