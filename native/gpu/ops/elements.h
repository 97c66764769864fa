// 16 bytes as the numbers they hold: eight float16 or four float32.
#pragma once

#include "../context/vocabulary.h"

namespace kvasir::gpu {

template <class T>
constexpr int kPerVector = static_cast<int>(16 / sizeof(T));

template <class T, class Cx>
KVASIR_DEVICE void unpack(Cx& cx, const Vec16& vector, float (&values)[kPerVector<T>]) {
  KVASIR_UNROLL
  for (int i = 0; i < 4; ++i) {
    if constexpr (sizeof(T) == 2) cx.toFloats(vector.word[i], values[2 * i], values[2 * i + 1]);
    else values[i] = cx.asFloat(vector.word[i]);
  }
}

template <class T, class Cx>
KVASIR_DEVICE Vec16 pack(Cx& cx, const float (&values)[kPerVector<T>]) {
  Vec16 vector;
  KVASIR_UNROLL
  for (int i = 0; i < 4; ++i) {
    if constexpr (sizeof(T) == 2) vector.word[i] = cx.toHalves(values[2 * i], values[2 * i + 1]);
    else vector.word[i] = cx.asBits(values[i]);
  }
  return vector;
}

// One number at an address in global memory.
template <class T, class Cx>
KVASIR_DEVICE float loadElement(Cx& cx, const std::uint8_t* row, int i) {
  if constexpr (sizeof(T) == 2) return cx.toFloat(reinterpret_cast<const Half*>(row)[i]);
  else return reinterpret_cast<const float*>(row)[i];
}

// kCount floats, a multiple of 2, aligned to their size or to 16 bytes.
template <int kCount, class Cx>
KVASIR_DEVICE void loadFloats(Cx& cx, const float* from, float* to) {
  if constexpr (kCount % 4 == 0) {
    KVASIR_UNROLL
    for (int i = 0; i < kCount; i += 4) {
      const Vec16 vector = cx.load16(from + i);
      KVASIR_UNROLL
      for (int j = 0; j < 4; ++j) to[i + j] = cx.asFloat(vector.word[j]);
    }
  } else {
    KVASIR_UNROLL
    for (int i = 0; i < kCount; i += 2) {
      const Vec8 vector = cx.load8(from + i);
      to[i] = cx.asFloat(vector.word[0]);
      to[i + 1] = cx.asFloat(vector.word[1]);
    }
  }
}

}  // namespace kvasir::gpu
