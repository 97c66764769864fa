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

  // Dot products of one sub-block with `Count` rows of byte activations, each `at(i)` [32].
  template <WeightType T, int Sub, int Count, class At>
  KVASIR_INLINE static inline void addProducts(const std::uint8_t* codes, int v, const At& at, I (&dots)[Count]) {
    constexpr Layout layout = layoutOf(T);
    constexpr int steps = layout.sub / 4;
    unroll<steps>([&](auto i) KVASIR_INLINE {
      constexpr int step = Sub * steps + i;
      const I weights = codesOf<S, T, step>(codes, v);
      KVASIR_UNROLL
      for (int n = 0; n < Count; ++n) dots[n] = S::template dot<layout.bits == 8>(dots[n], weights, S::broadcastFour(at(n) + 4 * step));
    });
  }

  template <WeightType T>
  static constexpr int offsetBits = layoutOf(T).bits == 8 ? S::wideOffsetBits : layoutOf(T).offsetBits();

  template <int Rows, WeightType T>
  static void fastRows(const std::uint8_t* group, int blocks, const ActBlock* x, float* out) {
    constexpr Layout layout = layoutOf(T);
    constexpr int subs = layout.subs();
    F sums[V][Rows] = {};
    BlockReader<S, T> reader(group);
    for (int b = 0; b < blocks; ++b, ++x, reader.leave()) {
      prefetchAhead<S>(reader.start(), layout.blockBytes());
      reader.enter(b);
      KVASIR_UNROLL
      for (int v = 0; v < V; ++v) {
        unroll<subs>([&](auto sub) KVASIR_INLINE {
          I dots[Rows];
          KVASIR_UNROLL
          for (int r = 0; r < Rows; ++r) {
            const ActBlock& in = x[r * blocks];
            if constexpr (offsetBits<T> > 0) dots[r] = S::shiftLeft(S::broadcastInt(subs == 2 ? in.minusHalf[sub] : in.minusTotal), offsetBits<T>);
            else dots[r] = S::zeroInts();
          }
          addProducts<T, sub>(reader.codes(), v, [&](int r) KVASIR_INLINE { return x[r * blocks].codes; }, dots);
          const F scale = reader.scale(sub, v);
          KVASIR_UNROLL
          for (int r = 0; r < Rows; ++r) {
            const ActBlock& in = x[r * blocks];
            sums[v][r] = S::fma(S::toFloat(dots[r]), S::mul(scale, S::broadcast(in.scale)), sums[v][r]);
            if constexpr (layout.hasMin) {
              const F inSum = S::broadcast(subs == 2 ? in.scale * static_cast<float>(-in.minusHalf[sub]) : in.sum);
              sums[v][r] = S::fma(reader.min(sub, v), inSum, sums[v][r]);
            }
          }
        });
      }
    }
    storeSums<S, Rows>(sums, out);
  }

  template <int Rows, WeightType T>
  static void exactRows(const std::uint8_t* group, int blocks, const DigitBlock* x, float* out) {
    constexpr Layout layout = layoutOf(T);
    constexpr int subs = layout.subs();
    F sums[V][Rows] = {};
    BlockReader<S, T> reader(group);
    for (int b = 0; b < blocks; ++b, ++x, reader.leave()) {
      prefetchAhead<S>(reader.start(), layout.blockBytes());
      reader.enter(b);
      KVASIR_UNROLL
      for (int v = 0; v < V; ++v) {
        unroll<subs>([&](auto sub) KVASIR_INLINE {
          I dots[3 * Rows];  // three digits of each row
          KVASIR_UNROLL
          for (int n = 0; n < 3 * Rows; ++n) {
            const std::int16_t* half = x[n / 3 * blocks].half[n % 3];
            if constexpr (offsetBits<T> > 0) dots[n] = S::broadcastInt(-(subs == 2 ? half[sub] : half[0] + half[1]) * (1 << offsetBits<T>));
            else dots[n] = S::zeroInts();
          }
          addProducts<T, sub>(reader.codes(), v, [&](int n) KVASIR_INLINE { return x[n / 3 * blocks].digits[n % 3]; }, dots);
          const F scale = reader.scale(sub, v);
          KVASIR_UNROLL
          for (int r = 0; r < Rows; ++r) {
            const DigitBlock& in = x[r * blocks];
            const F low = S::fma(S::toFloat(dots[3 * r + 1]), S::broadcast(256), S::toFloat(dots[3 * r + 2]));
            const F dot = S::fma(S::toFloat(dots[3 * r]), S::broadcast(65536), low);
            sums[v][r] = S::fma(dot, S::mul(scale, S::broadcast(in.scale)), sums[v][r]);
            if constexpr (layout.hasMin) {
              const F inSum = S::broadcast(subs == 2 ? in.sum[sub] : in.sum[0] + in.sum[1]);
              sums[v][r] = S::fma(reader.min(sub, v), inSum, sums[v][r]);
            }
          }
        });
      }
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
