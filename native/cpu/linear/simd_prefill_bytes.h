// Prefill with 8-bit activations: weights are unpacked to bytes once, then multiplied by tiles of input rows whose
// integer dot products and float32 sums are both held in registers.
#pragma once

#include "kernels.h"
#include "simd_codes.h"

namespace kvasir::lin {
namespace {

template <class S>
struct PrefillBytes {
  using F = typename S::F;
  using I = typename S::I;
  static constexpr int V = vectorsPerGroup<S>;
  static constexpr int panelVectors = S::panelGroups * V;
  static constexpr int width = S::panelGroups * groupRows;

  template <WeightType T>
  static void unpackBytes(const std::uint8_t* group, int cols, int place, std::uint8_t* panel) {
    constexpr Layout layout = layoutOf(T);
    constexpr int subs = layout.subs();
    BlockReader<S, T> reader(group);
    for (int b = 0; b < cols / blockCols; ++b, panel += fastPanelBlockBytes(layout, S::panelGroups), reader.leave()) {
      prefetchAhead<S>(reader.start(), layout.blockBytes());
      reader.enter(b);
      float* scales = reinterpret_cast<float*>(panel) + place * groupRows;
      std::uint8_t* codes = panel + 4 * width * subs * (layout.hasMin ? 2 : 1) + place * 64;
      KVASIR_UNROLL
      for (int v = 0; v < V; ++v) {
        for (int sub = 0; sub < subs; ++sub) {
          S::storeFloats(scales + sub * width + S::lanes * v, reader.scale(sub, v));
          if constexpr (layout.hasMin) S::storeFloats(scales + (subs + sub) * width + S::lanes * v, reader.min(sub, v));
        }
        unroll<blockSteps>([&](auto step) KVASIR_INLINE {
          S::storeBytes(codes + step * width * 4 + S::lanes * 4 * v, codesOf<S, T, step>(reader.codes(), v));
        });
      }
    }
  }

  static void unpack(WeightType type, const std::uint8_t* group, int cols, int place, std::uint8_t* panel) {
    withQuantised(type, [&](auto tag) { unpackBytes<decltype(tag)::type>(group, cols, place, panel); });
  }

  // What is left of a type in a fast panel: its sub-blocks, whether it has minima, whether its codes fill a byte.
  template <int Rows, int Sub, bool HasMin, bool Wide>
  static void multiplyRows(int offsetBits, const ActBlock* x, std::size_t xStride, const std::uint8_t* panel, int blocks,
                           bool first, float* tile) {
    constexpr int subs = blockCols / Sub;
    constexpr bool hasOffset = !HasMin && !(Wide && S::wideOffsetBits == 0);
    F sums[Rows][panelVectors];
    KVASIR_UNROLL
    for (int r = 0; r < Rows; ++r) {
      KVASIR_UNROLL
      for (int v = 0; v < panelVectors; ++v) sums[r][v] = first ? S::zero() : S::loadFloats(tile + r * width + S::lanes * v);
    }
    for (int b = 0; b < blocks; ++b, ++x) {
      const float* scales = reinterpret_cast<const float*>(panel);
      const std::uint8_t* codes = panel + 4 * width * subs * (HasMin ? 2 : 1);
      KVASIR_UNROLL
      for (int sub = 0; sub < subs; ++sub) {
        I dots[Rows][panelVectors];
        KVASIR_UNROLL
        for (int r = 0; r < Rows; ++r) {
          KVASIR_UNROLL
          for (int v = 0; v < panelVectors; ++v) dots[r][v] = S::zeroInts();
        }
        KVASIR_UNROLL
        for (int step = sub * (Sub / 4); step < (sub + 1) * (Sub / 4); ++step) {
          I weights[panelVectors];
          KVASIR_UNROLL
          for (int v = 0; v < panelVectors; ++v) weights[v] = S::loadBytes(codes + step * width * 4 + S::lanes * 4 * v);
          KVASIR_UNROLL
          for (int r = 0; r < Rows; ++r) {
            const I value = S::broadcastFour(x[r * xStride].codes + 4 * step);
            KVASIR_UNROLL
            for (int v = 0; v < panelVectors; ++v) dots[r][v] = S::template dot<Wide>(dots[r][v], weights[v], value);
          }
        }
        KVASIR_UNROLL
        for (int r = 0; r < Rows; ++r) {
          const ActBlock& in = x[r * xStride];
          const F inScale = S::broadcast(in.scale);
          // The offset's share comes off at the end: as a start of the sums it would delay them all.
          const I shift = hasOffset ? S::shiftLeft(S::broadcastInt(subs == 2 ? in.minusHalf[sub] : in.minusTotal), offsetBits) : S::zeroInts();
          KVASIR_UNROLL
          for (int v = 0; v < panelVectors; ++v) {
            const F scale = S::mul(inScale, S::loadFloats(scales + sub * width + S::lanes * v));
            I dot = dots[r][v];
            if constexpr (hasOffset) dot = S::addInts(dot, shift);
            sums[r][v] = S::fma(S::toFloat(dot), scale, sums[r][v]);
          }
          if constexpr (HasMin) {
            const F inSum = S::broadcast(subs == 2 ? in.scale * static_cast<float>(-in.minusHalf[sub]) : in.sum);
            KVASIR_UNROLL
            for (int v = 0; v < panelVectors; ++v)
              sums[r][v] = S::fma(inSum, S::loadFloats(scales + (subs + sub) * width + S::lanes * v), sums[r][v]);
          }
        }
      }
      panel = codes + blockSteps * width * 4;
    }
    KVASIR_UNROLL
    for (int r = 0; r < Rows; ++r) {
      KVASIR_UNROLL
      for (int v = 0; v < panelVectors; ++v) S::storeFloats(tile + r * width + S::lanes * v, sums[r][v]);
    }
  }

  template <int Rows>
  static void multiplyLayout(const Layout& layout, const ActBlock* x, std::size_t xStride, const std::uint8_t* panel,
                           int blocks, bool first, float* tile) {
    if (layout.sub == 16 && layout.hasMin) return multiplyRows<Rows, 16, true, false>(0, x, xStride, panel, blocks, first, tile);
    if (layout.sub == 16) return multiplyRows<Rows, 16, false, false>(layout.offsetBits(), x, xStride, panel, blocks, first, tile);
    if (layout.hasMin) return multiplyRows<Rows, 32, true, false>(0, x, xStride, panel, blocks, first, tile);
    if (layout.bits < 8) return multiplyRows<Rows, 32, false, false>(layout.offsetBits(), x, xStride, panel, blocks, first, tile);
    return multiplyRows<Rows, 32, false, true>(S::wideOffsetBits, x, xStride, panel, blocks, first, tile);
  }

  static void multiply(WeightType type, int rows, const ActBlock* x, std::size_t xStride, const std::uint8_t* panel,
                       int cols, bool first, float* tile) {
    const Layout layout = layoutOf(type);
    unroll<S::tileRowsByte>([&](auto r) KVASIR_INLINE {
      if (rows == r + 1) multiplyLayout<r + 1>(layout, x, xStride, panel, cols / blockCols, first, tile);
    });
  }
};

}  // namespace
}  // namespace kvasir::lin
