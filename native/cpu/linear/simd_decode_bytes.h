// Decode of quantised types with activations as integers: the packed form is expanded in registers, and memory is
// asked for ahead.
#pragma once

#include "simd_decode_common.h"

namespace kvasir::lin {
namespace {

template <class S>
struct DecodeBytes {
  using F = typename S::F;
  using I = typename S::I;
  static constexpr int V = vectorsPerGroup<S>;

  template <int Rows, WeightType T>
  static void fastRows(const std::uint8_t* group, int blocks, const ActBlock* x, float* out) {
    constexpr Layout layout = layoutOf(T);
    constexpr bool wide = layout.bits == 8;
    constexpr int offsetBits = wide ? S::wideOffsetBits : layout.offsetBits();
    constexpr bool hasOffset = offsetBits > 0;
    constexpr int subs = layout.subs();
    constexpr int steps = layout.sub / 4;
    F sums[V][Rows];
    unroll<V>([&](auto v) KVASIR_INLINE { unroll<Rows>([&](auto r) KVASIR_INLINE { sums[v][r] = S::zero(); }); });
    BlockReader<S, T> reader(group);
    for (int b = 0; b < blocks; ++b, ++x, reader.leave()) {
      prefetchAhead<S>(reader.start(), layout.blockBytes());
      reader.enter(b);
      unroll<V>([&](auto v) KVASIR_INLINE {
        unroll<subs>([&](auto sub) KVASIR_INLINE {
          I dots[Rows];
          unroll<Rows>([&](auto r) KVASIR_INLINE {
            const ActBlock& in = x[r * blocks];
            if constexpr (hasOffset) dots[r] = S::shiftLeft(S::broadcastInt(subs == 2 ? in.minusHalf[sub] : in.minusTotal), offsetBits);
            else dots[r] = S::zeroInts();
          });
          unroll<steps>([&](auto i) KVASIR_INLINE {
            constexpr int step = sub * steps + i;
            const I weights = codesOf<S, T, step>(reader.codes(), v);
            unroll<Rows>([&](auto r) KVASIR_INLINE {
              dots[r] = S::template dot<wide>(dots[r], weights, S::broadcastFour(x[r * blocks].codes + 4 * step));
            });
          });
          const F scale = reader.scale(sub, v);
          unroll<Rows>([&](auto r) KVASIR_INLINE {
            const ActBlock& in = x[r * blocks];
            sums[v][r] = S::fma(S::toFloat(dots[r]), S::mul(scale, S::broadcast(in.scale)), sums[v][r]);
            if constexpr (layout.hasMin) {
              const F inSum = S::broadcast(subs == 2 ? in.scale * static_cast<float>(-in.minusHalf[sub]) : in.sum);
              sums[v][r] = S::fma(reader.min(sub, v), inSum, sums[v][r]);
            }
          });
        });
      });
    }
    storeSums<S, Rows>(sums, out);
  }

  template <int Rows, WeightType T>
  static void exactRows(const std::uint8_t* group, int blocks, const DigitBlock* x, float* out) {
    constexpr Layout layout = layoutOf(T);
    constexpr bool wide = layout.bits == 8;
    constexpr int offsetBits = wide ? S::wideOffsetBits : layout.offsetBits();
    constexpr bool hasOffset = offsetBits > 0;
    constexpr int subs = layout.subs();
    constexpr int steps = layout.sub / 4;
    F sums[V][Rows];
    unroll<V>([&](auto v) KVASIR_INLINE { unroll<Rows>([&](auto r) KVASIR_INLINE { sums[v][r] = S::zero(); }); });
    BlockReader<S, T> reader(group);
    for (int b = 0; b < blocks; ++b, ++x, reader.leave()) {
      prefetchAhead<S>(reader.start(), layout.blockBytes());
      reader.enter(b);
      unroll<V>([&](auto v) KVASIR_INLINE {
        unroll<subs>([&](auto sub) KVASIR_INLINE {
          I dots[Rows][3];
          unroll<Rows>([&](auto r) KVASIR_INLINE {
            unroll<3>([&](auto d) KVASIR_INLINE {
              const std::int16_t* half = x[r * blocks].half[d];
              if constexpr (hasOffset) dots[r][d] = S::broadcastInt(-(subs == 2 ? half[sub] : half[0] + half[1]) * (1 << offsetBits));
              else dots[r][d] = S::zeroInts();
            });
          });
          unroll<steps>([&](auto i) KVASIR_INLINE {
            constexpr int step = sub * steps + i;
            const I weights = codesOf<S, T, step>(reader.codes(), v);
            unroll<Rows>([&](auto r) KVASIR_INLINE {
              unroll<3>([&](auto d) KVASIR_INLINE {
                dots[r][d] = S::template dot<wide>(dots[r][d], weights, S::broadcastFour(x[r * blocks].digits[d] + 4 * step));
              });
            });
          });
          const F scale = reader.scale(sub, v);
          unroll<Rows>([&](auto r) KVASIR_INLINE {
            const DigitBlock& in = x[r * blocks];
            const F low = S::fma(S::toFloat(dots[r][1]), S::broadcast(256), S::toFloat(dots[r][2]));
            const F dot = S::fma(S::toFloat(dots[r][0]), S::broadcast(65536), low);
            sums[v][r] = S::fma(dot, S::mul(scale, S::broadcast(in.scale)), sums[v][r]);
            if constexpr (layout.hasMin) {
              const F inSum = S::broadcast(subs == 2 ? in.sum[sub] : in.sum[0] + in.sum[1]);
              sums[v][r] = S::fma(reader.min(sub, v), inSum, sums[v][r]);
            }
          });
        });
      });
    }
    storeSums<S, Rows>(sums, out);
  }

  static void exact(WeightType type, const std::uint8_t* group, int cols, int rows, const DigitBlock* x, float* out) {
    withQuantised(type, [&](auto tag) {
      withRows<S::decodeRowsExact>(rows, [&](auto r) { exactRows<r, decltype(tag)::type>(group, cols / blockCols, x, out); });
    });
  }

  static void fast(WeightType type, const std::uint8_t* group, int cols, int rows, const ActBlock* x, float* out) {
    withQuantised(type, [&](auto tag) {
      withRows<S::decodeRowsFast>(rows, [&](auto r) { fastRows<r, decltype(tag)::type>(group, cols / blockCols, x, out); });
    });
  }
};

}  // namespace
}  // namespace kvasir::lin
