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
    F chains[V][Rows][4];
    unroll<V>([&](auto v) KVASIR_INLINE {
      unroll<Rows>([&](auto r) KVASIR_INLINE { unroll<4>([&](auto c) KVASIR_INLINE { chains[v][r][c] = S::zero(); }); });
    });
    const auto addColumn = [&](int k, auto c) KVASIR_INLINE {
      unroll<V>([&](auto v) KVASIR_INLINE {
        const F weight = floatColumn<S, T>(group, static_cast<std::size_t>(k), v);
        unroll<Rows>([&](auto r) KVASIR_INLINE { chains[v][r][c] = S::fma(weight, S::broadcast(x[r * xStride + static_cast<std::size_t>(k)]), chains[v][r][c]); });
      });
    };
    int k = 0;
    for (; k + 4 <= cols; k += 4) {
      prefetchAhead<S>(group + static_cast<std::size_t>(k) * groupRows * static_cast<std::size_t>(layoutOf(T).floatBytes), 4 * groupRows * layoutOf(T).floatBytes);
      unroll<4>([&](auto c) KVASIR_INLINE { addColumn(k + c, c); });
    }
    unroll<3>([&](auto c) KVASIR_INLINE {
      if (k + c < cols) addColumn(k + c, c);
    });
    F sums[V][Rows];
    unroll<V>([&](auto v) KVASIR_INLINE {
      unroll<Rows>([&](auto r) KVASIR_INLINE {
        sums[v][r] = S::add(S::add(chains[v][r][0], chains[v][r][1]), S::add(chains[v][r][2], chains[v][r][3]));
      });
    });
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
