// Prefill with float32 activations: weights are unpacked into a panel once, then multiplied by tiles of input rows
// held in registers.
#pragma once

#include "kernels.h"
#include "simd_codes.h"

namespace kvasir::lin {
namespace {

template <class S>
struct PrefillFloats {
  using F = typename S::F;
  using I = typename S::I;
  static constexpr int V = vectorsPerGroup<S>;
  static constexpr int panelVectors = S::panelGroups * V;
  static constexpr int width = S::panelGroups * groupRows;

  template <WeightType T>
  static void unpackFloats(const std::uint8_t* group, int cols, float* panel) {
    for (int k = 0; k < cols; ++k, panel += width)
      for (int v = 0; v < V; ++v) S::storeFloats(panel + S::lanes * v, floatColumn<S, T>(group, static_cast<std::size_t>(k), v));
  }

  template <WeightType T>
  static void unpackQuantised(const std::uint8_t* group, int cols, float* panel) {
    constexpr Layout layout = layoutOf(T);
    BlockReader<S, T> reader(group);
    for (int b = 0; b < cols / blockCols; ++b, panel += blockCols * width, reader.leave()) {
      prefetchAhead<S>(reader.start(), layout.blockBytes());
      reader.enter(b);
      KVASIR_UNROLL
      for (int v = 0; v < V; ++v) {
        unroll<blockSteps>([&](auto step) KVASIR_INLINE {
          constexpr int sub = step * 4 / layout.sub;
          const F scale = reader.scale(sub, v);
          const I codes = centred<S, T>(codesOf<S, T, step>(reader.codes(), v));
          unroll<4>([&](auto byte) KVASIR_INLINE {
            const F code = floatCode<S, T, byte>(codes);
            F weight;
            if constexpr (layout.hasMin) weight = S::fma(scale, code, reader.min(sub, v));
            else weight = S::mul(scale, code);
            S::storeFloats(panel + (step * 4 + byte) * width + S::lanes * v, weight);
          });
        });
      }
    }
  }

  static void unpack(WeightType type, const std::uint8_t* group, int cols, int place, float* panel) {
    panel += place * groupRows;
    if (type == WeightType::f32) return unpackFloats<WeightType::f32>(group, cols, panel);
    if (type == WeightType::f16) return unpackFloats<WeightType::f16>(group, cols, panel);
    if (type == WeightType::bf16) return unpackFloats<WeightType::bf16>(group, cols, panel);
    withQuantised(type, [&](auto tag) { unpackQuantised<decltype(tag)::type>(group, cols, panel); });
  }

  template <int Rows>
  static void multiplyRows(const float* x, std::size_t xStride, const float* panel, int cols, bool first, float* tile) {
    F sums[Rows][panelVectors];
    KVASIR_UNROLL
    for (int r = 0; r < Rows; ++r) {
      KVASIR_UNROLL
      for (int v = 0; v < panelVectors; ++v) sums[r][v] = first ? S::zero() : S::loadFloats(tile + r * width + S::lanes * v);
    }
    for (int k = 0; k < cols; ++k, ++x, panel += width) {
      F weights[panelVectors];
      KVASIR_UNROLL
      for (int v = 0; v < panelVectors; ++v) weights[v] = S::loadFloats(panel + S::lanes * v);
      KVASIR_UNROLL
      for (int r = 0; r < Rows; ++r) {
        const F value = S::broadcast(x[static_cast<std::size_t>(r) * xStride]);
        KVASIR_UNROLL
        for (int v = 0; v < panelVectors; ++v) sums[r][v] = S::fma(value, weights[v], sums[r][v]);
      }
    }
    KVASIR_UNROLL
    for (int r = 0; r < Rows; ++r) {
      KVASIR_UNROLL
      for (int v = 0; v < panelVectors; ++v) S::storeFloats(tile + r * width + S::lanes * v, sums[r][v]);
    }
  }

  static void multiply(int rows, const float* x, std::size_t xStride, const float* panel, int cols, bool first, float* tile) {
    unroll<S::tileRowsFloat>([&](auto r) KVASIR_INLINE {
      if (rows == r + 1) multiplyRows<r + 1>(x, xStride, panel, cols, first, tile);
    });
  }

  static void store(int rows, int groups, const float* tile, int tileStride, const float* bias, bool accumulate,
                    float* out, std::size_t outStride) {
    for (int r = 0; r < rows; ++r, tile += tileStride, out += outStride) {
      for (int n = 0; n < groups * groupRows; n += S::lanes) {
        F value = S::loadFloats(tile + n);
        if (bias) value = S::add(value, S::loadFloats(bias + n));
        if (accumulate) value = S::add(S::loadFloats(out + n), value);
        S::storeFloats(out + n, value);
      }
    }
  }
};

}  // namespace
}  // namespace kvasir::lin
