// Turns of stored K rows on any `Vec`: float16 in, float32 in between, float16 out. As in rotate.inl without fused
// multiply-add, so that every instruction set gives the same bits.
#pragma once

#include <cstring>

#include "rotate.inl"
#include "vectors.inl"

namespace kvasir::rows {
namespace {

inline void copyRest(const std::uint16_t* in, int headDim, int pairs, std::uint16_t* out) {
  if (headDim > 2 * pairs) std::memcpy(out + 2 * pairs, in + 2 * pairs, static_cast<std::size_t>(headDim - 2 * pairs) * sizeof *in);
}

void turnHalf(const std::uint16_t* in, int rows, int headDim, const float* cos, const float* sin, int pairs,
              std::uint16_t* out) {
  for (int row = 0; row < rows; ++row, in += headDim, out += headDim) {
    eachVector(pairs, [&](int i, int n) {
      const Vec::F a = loadUpTo(in + i, n), b = loadUpTo(in + pairs + i, n);
      const Vec::F c = loadUpTo(cos + i, n), s = loadUpTo(sin + i, n);
      storeUpTo(out + i, Vec::sub(Vec::mul(a, c), Vec::mul(b, s)), n);
      storeUpTo(out + pairs + i, Vec::add(Vec::mul(b, c), Vec::mul(a, s)), n);
    });
    copyRest(in, headDim, pairs, out);
  }
}

void turnInterleaved(const std::uint16_t* in, int rows, int headDim, const float* cos, const float* sin, int pairs,
                     std::uint16_t* out) {
  constexpr int kBlockPairs = 64;
  alignas(64) float block[2 * kBlockPairs];
  for (int row = 0; row < rows; ++row, in += headDim, out += headDim) {
    for (int first = 0; first < pairs; first += kBlockPairs) {
      const int count = pairs - first < kBlockPairs ? pairs - first : kBlockPairs;
      eachVector(2 * count, [&](int i, int n) { storeUpTo(block + i, loadUpTo(in + 2 * first + i, n), n); });
      rotateInterleaved(block, cos + first, sin + first, count);
      eachVector(2 * count, [&](int i, int n) { storeUpTo(out + 2 * first + i, loadUpTo(block + i, n), n); });
    }
    copyRest(in, headDim, pairs, out);
  }
}

}  // namespace
}  // namespace kvasir::rows
