// Prefill: weights are unpacked into a panel once, then multiplied by tiles of input rows held in registers.
#pragma once

#include "kernels.h"
#include "simd_codes.h"

namespace kvasir::lin {
namespace {

template <class S>
struct Prefill {
  using F = typename S::F;
  using I = typename S::I;
  static constexpr int V = vectorsPerGroup<S>;
  static constexpr int panelVectors = S::panelGroups * V;
  static constexpr int width = S::panelGroups * groupRows;

  template <WeightType T>
  static void unpackFloats(const std::uint8_t* group, int cols, float* panel) {
    for (int k = 0; k < cols; ++k, panel += width)
      unroll<V>([&](auto v) KVASIR_INLINE { S::storeFloats(panel + S::lanes * v, floatColumn<S, T>(group, static_cast<std::size_t>(k), v)); });
  }

  template <WeightType T>
  static void unpackQuantised(const std::uint8_t* group, int cols, float* panel) {
    constexpr Layout layout = layoutOf(T);
    BlockReader<S, T> reader(group);
    for (int b = 0; b < cols / blockCols; ++b, panel += blockCols * width, reader.leave()) {
      reader.enter(b);
      unroll<V>([&](auto v) KVASIR_INLINE {
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
      });
    }
  }

  static void unpackExact(WeightType type, const std::uint8_t* group, int cols, int place, float* panel) {
    panel += place * groupRows;
    if (type == WeightType::f32) return unpackFloats<WeightType::f32>(group, cols, panel);
    if (type == WeightType::f16) return unpackFloats<WeightType::f16>(group, cols, panel);
    if (type == WeightType::bf16) return unpackFloats<WeightType::bf16>(group, cols, panel);
    withQuantised(type, [&](auto tag) { unpackQuantised<decltype(tag)::type>(group, cols, panel); });
  }

  template <int Rows>
  static void multiplyExact(const float* x, std::size_t xStride, const float* panel, int cols, bool first, float* tile) {
    F sums[Rows][panelVectors];
    unroll<Rows>([&](auto r) KVASIR_INLINE {
      unroll<panelVectors>([&](auto v) KVASIR_INLINE { sums[r][v] = first ? S::zero() : S::loadFloats(tile + r * width + S::lanes * v); });
    });
    for (int k = 0; k < cols; ++k, ++x, panel += width) {
      F weights[panelVectors];
      unroll<panelVectors>([&](auto v) KVASIR_INLINE { weights[v] = S::loadFloats(panel + S::lanes * v); });
      unroll<Rows>([&](auto r) KVASIR_INLINE {
        const F value = S::broadcast(x[r * xStride]);
        unroll<panelVectors>([&](auto v) KVASIR_INLINE { sums[r][v] = S::fma(value, weights[v], sums[r][v]); });
      });
    }
    unroll<Rows>([&](auto r) KVASIR_INLINE {
      unroll<panelVectors>([&](auto v) KVASIR_INLINE { S::storeFloats(tile + r * width + S::lanes * v, sums[r][v]); });
    });
  }

  static void tileExact(int rows, const float* x, std::size_t xStride, const float* panel, int cols, bool first, float* tile) {
    unroll<S::tileRowsExact>([&](auto r) KVASIR_INLINE {
      if (rows == r + 1) multiplyExact<r + 1>(x, xStride, panel, cols, first, tile);
    });
  }

  template <WeightType T>
  static void unpackBytes(const std::uint8_t* group, int cols, int place, std::uint8_t* panel) {
    constexpr Layout layout = layoutOf(T);
    constexpr int subs = layout.subs();
    BlockReader<S, T> reader(group);
    for (int b = 0; b < cols / blockCols; ++b, panel += fastPanelBlockBytes(layout, S::panelGroups), reader.leave()) {
      reader.enter(b);
      float* scales = reinterpret_cast<float*>(panel) + place * groupRows;
      std::uint8_t* codes = panel + 4 * width * subs * (layout.hasMin ? 2 : 1) + place * 64;
      unroll<V>([&](auto v) KVASIR_INLINE {
        unroll<subs>([&](auto sub) KVASIR_INLINE {
          S::storeFloats(scales + sub * width + S::lanes * v, reader.scale(sub, v));
          if constexpr (layout.hasMin) S::storeFloats(scales + (subs + sub) * width + S::lanes * v, reader.min(sub, v));
        });
        unroll<blockSteps>([&](auto step) KVASIR_INLINE {
          S::storeBytes(codes + step * width * 4 + S::lanes * 4 * v, codesOf<S, T, step>(reader.codes(), v));
        });
      });
    }
  }

  static void unpackFast(WeightType type, const std::uint8_t* group, int cols, int place, std::uint8_t* panel) {
    withQuantised(type, [&](auto tag) { unpackBytes<decltype(tag)::type>(group, cols, place, panel); });
  }

  // What is left of a type in a fast panel: its sub-blocks, whether it has minima, whether its codes fill a byte.
  template <int Rows, int Sub, bool HasMin, bool Wide>
  static void multiplyFast(int offset, const ActBlock* x, std::size_t xStride, const std::uint8_t* panel, int blocks,
                           bool first, float* tile) {
    constexpr int subs = blockCols / Sub;
    F sums[Rows][panelVectors];
    unroll<Rows>([&](auto r) KVASIR_INLINE {
      unroll<panelVectors>([&](auto v) KVASIR_INLINE { sums[r][v] = first ? S::zero() : S::loadFloats(tile + r * width + S::lanes * v); });
    });
    for (int b = 0; b < blocks; ++b, ++x) {
      const float* scales = reinterpret_cast<const float*>(panel);
      const std::uint8_t* codes = panel + 4 * width * subs * (HasMin ? 2 : 1);
      unroll<subs>([&](auto sub) KVASIR_INLINE {
        I dots[Rows][panelVectors];
        unroll<Rows>([&](auto r) KVASIR_INLINE {
          const ActBlock& in = x[r * xStride];
          I start = S::zeroInts();
          if constexpr (!HasMin) start = S::broadcastInt(-offset * (subs == 2 ? in.half[sub] : in.half[0] + in.half[1]));
          unroll<panelVectors>([&](auto v) KVASIR_INLINE { dots[r][v] = start; });
        });
        unroll<Sub / 4>([&](auto i) KVASIR_INLINE {
          constexpr int step = sub * (Sub / 4) + i;
          I weights[panelVectors];
          unroll<panelVectors>([&](auto v) KVASIR_INLINE { weights[v] = S::loadBytes(codes + step * width * 4 + S::lanes * 4 * v); });
          unroll<Rows>([&](auto r) KVASIR_INLINE {
            const I value = S::broadcastFour(x[r * xStride].codes + 4 * step);
            unroll<panelVectors>([&](auto v) KVASIR_INLINE { dots[r][v] = S::template dot<Wide>(dots[r][v], weights[v], value); });
          });
        });
        unroll<Rows>([&](auto r) KVASIR_INLINE {
          const ActBlock& in = x[r * xStride];
          const F inScale = S::broadcast(in.scale);
          unroll<panelVectors>([&](auto v) KVASIR_INLINE {
            const F scale = S::mul(inScale, S::loadFloats(scales + sub * width + S::lanes * v));
            sums[r][v] = S::fma(S::toFloat(dots[r][v]), scale, sums[r][v]);
          });
          if constexpr (HasMin) {
            const F inSum = S::broadcast(subs == 2 ? in.scale * static_cast<float>(in.half[sub]) : in.sum);
            unroll<panelVectors>([&](auto v) KVASIR_INLINE {
              sums[r][v] = S::fma(inSum, S::loadFloats(scales + (subs + sub) * width + S::lanes * v), sums[r][v]);
            });
          }
        });
      });
      panel = codes + blockSteps * width * 4;
    }
    unroll<Rows>([&](auto r) KVASIR_INLINE {
      unroll<panelVectors>([&](auto v) KVASIR_INLINE { S::storeFloats(tile + r * width + S::lanes * v, sums[r][v]); });
    });
  }

  template <int Rows>
  static void tileFastRows(const Layout& layout, const ActBlock* x, std::size_t xStride, const std::uint8_t* panel,
                           int blocks, bool first, float* tile) {
    if (layout.sub == 16 && layout.hasMin) return multiplyFast<Rows, 16, true, false>(0, x, xStride, panel, blocks, first, tile);
    if (layout.sub == 16) return multiplyFast<Rows, 16, false, false>(layout.offset, x, xStride, panel, blocks, first, tile);
    if (layout.hasMin) return multiplyFast<Rows, 32, true, false>(0, x, xStride, panel, blocks, first, tile);
    if (layout.bits < 8) return multiplyFast<Rows, 32, false, false>(layout.offset, x, xStride, panel, blocks, first, tile);
    return multiplyFast<Rows, 32, false, true>(S::wideOffset, x, xStride, panel, blocks, first, tile);
  }

  static void storeTile(int rows, int groups, const float* tile, int tileStride, const float* bias, bool accumulate,
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

  static void tileFast(WeightType type, int rows, const ActBlock* x, std::size_t xStride, const std::uint8_t* panel,
                       int cols, bool first, float* tile) {
    const Layout layout = layoutOf(type);
    unroll<S::tileRowsFast>([&](auto r) KVASIR_INLINE {
      if (rows == r + 1) tileFastRows<r + 1>(layout, x, xStride, panel, cols / blockCols, first, tile);
    });
  }
};

}  // namespace
}  // namespace kvasir::lin
