// Decode of float types: a few input rows against weights that stream through once, bound by memory.
#pragma once

#include "simd_decode_common.h"

namespace kvasir::lin {
namespace {

template <class S>
struct DecodeFloats {
  using F = typename S::F;
  static constexpr int V = vectorsPerGroup<S>;

  // Four chains of sums, one for each column mod 4, so that additions need not wait for each other.
  template <int Rows, WeightType T>
  static void decodeRows(const std::uint8_t* group, int cols, const float* x, std::size_t xStride, float* out) {
    F chains[V][Rows][4] = {};
    const auto addColumn = [&](int k, int chain) KVASIR_INLINE {
      KVASIR_UNROLL
      for (int v = 0; v < V; ++v) {
        const F weight = floatColumn<S, T>(group, static_cast<std::size_t>(k), v);
        KVASIR_UNROLL
        for (int r = 0; r < Rows; ++r) {
          const F value = S::broadcast(x[static_cast<std::size_t>(r) * xStride + static_cast<std::size_t>(k)]);
          chains[v][r][chain] = S::fma(weight, value, chains[v][r][chain]);
        }
      }
    };
    constexpr int stepBytes = 4 * groupRows * layoutOf(T).floatBytes;
    int k = 0;
    for (; k + 4 <= cols; k += 4) {
      prefetchAhead<S>(group + static_cast<std::size_t>(k / 4) * stepBytes, stepBytes);
      KVASIR_UNROLL
      for (int chain = 0; chain < 4; ++chain) addColumn(k + chain, chain);
    }
    KVASIR_UNROLL
    for (int chain = 0; chain < 3; ++chain)
      if (k + chain < cols) addColumn(k + chain, chain);
    F sums[V][Rows];
    KVASIR_UNROLL
    for (int v = 0; v < V; ++v) {
      KVASIR_UNROLL
      for (int r = 0; r < Rows; ++r) {
        const F* chain = chains[v][r];
        sums[v][r] = S::add(S::add(chain[0], chain[1]), S::add(chain[2], chain[3]));
      }
    }
    storeSums<S, Rows>(sums, out);
  }

  template <WeightType T>
  static void decodeType(const std::uint8_t* group, int cols, int rows, const float* x, std::size_t xStride, float* out) {
    withRows<S::decodeRowsFloat>(rows, [&](auto r) { decodeRows<r, T>(group, cols, x, xStride, out); });
  }

  static void decode(WeightType type, const std::uint8_t* group, int cols, int rows, const float* x,
                           std::size_t xStride, float* out) {
    if (type == WeightType::f32) return decodeType<WeightType::f32>(group, cols, rows, x, xStride, out);
    if (type == WeightType::f16) return decodeType<WeightType::f16>(group, cols, rows, x, xStride, out);
    return decodeType<WeightType::bf16>(group, cols, rows, x, xStride, out);
  }
};

}  // namespace
}  // namespace kvasir::lin
