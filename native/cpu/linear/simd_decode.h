// Decode: a few input rows against weights that stream through once. Bound by memory, so the packed form is
// expanded in registers and the next cache lines are asked for ahead.
#pragma once

#include "kernels.h"
#include "simd_codes.h"

namespace kvasir::lin {
namespace {

template <class S>
struct Decode {
  using F = typename S::F;
  using I = typename S::I;
  static constexpr int V = vectorsPerGroup<S>;
  static constexpr int prefetchBytes = 2048;

  KVASIR_INLINE static inline void prefetchBlock(const std::uint8_t* at, int bytes) {
    for (int i = 0; i < bytes; i += 64) S::prefetch(at + prefetchBytes + i);
  }

  template <int Rows, WeightType T>
  static void fast(const std::uint8_t* group, int blocks, const ActBlock* x, float* out) {
    constexpr Layout layout = layoutOf(T);
    constexpr bool wide = layout.bits == 8;
    constexpr int offset = wide ? S::wideOffset : layout.offset;
    constexpr int subs = layout.subs();
    constexpr int steps = layout.sub / 4;
    F sums[V][Rows];
    unroll<V>([&](auto v) KVASIR_INLINE { unroll<Rows>([&](auto r) KVASIR_INLINE { sums[v][r] = S::zero(); }); });
    BlockReader<S, T> reader(group);
    for (int b = 0; b < blocks; ++b, ++x, reader.leave()) {
      prefetchBlock(reader.start(), layout.blockBytes());
      reader.enter(b);
      unroll<V>([&](auto v) KVASIR_INLINE {
        unroll<subs>([&](auto sub) KVASIR_INLINE {
          I dots[Rows];
          unroll<Rows>([&](auto r) KVASIR_INLINE {
            const ActBlock& in = x[r * blocks];
            if constexpr (offset != 0) dots[r] = S::broadcastInt(-offset * (subs == 2 ? in.half[sub] : in.half[0] + in.half[1]));
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
              const F inSum = S::broadcast(subs == 2 ? in.scale * static_cast<float>(in.half[sub]) : in.sum);
              sums[v][r] = S::fma(reader.min(sub, v), inSum, sums[v][r]);
            }
          });
        });
      });
    }
    storeSums<Rows>(sums, out);
  }

  template <int Rows, WeightType T>
  static void exact(const std::uint8_t* group, int blocks, const DigitBlock* x, float* out) {
    constexpr Layout layout = layoutOf(T);
    constexpr bool wide = layout.bits == 8;
    constexpr int offset = wide ? S::wideOffset : layout.offset;
    constexpr int subs = layout.subs();
    constexpr int steps = layout.sub / 4;
    F sums[V][Rows];
    unroll<V>([&](auto v) KVASIR_INLINE { unroll<Rows>([&](auto r) KVASIR_INLINE { sums[v][r] = S::zero(); }); });
    BlockReader<S, T> reader(group);
    for (int b = 0; b < blocks; ++b, ++x, reader.leave()) {
      prefetchBlock(reader.start(), layout.blockBytes());
      reader.enter(b);
      unroll<V>([&](auto v) KVASIR_INLINE {
        unroll<subs>([&](auto sub) KVASIR_INLINE {
          I dots[Rows][3];
          unroll<Rows>([&](auto r) KVASIR_INLINE {
            unroll<3>([&](auto d) KVASIR_INLINE {
              const std::int16_t* half = x[r * blocks].half[d];
              if constexpr (offset != 0) dots[r][d] = S::broadcastInt(-offset * (subs == 2 ? half[sub] : half[0] + half[1]));
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
    storeSums<Rows>(sums, out);
  }

  // Four chains of sums, one for each column mod 4, so that additions need not wait for each other.
  template <int Rows, WeightType T>
  static void floats(const std::uint8_t* group, int cols, const float* x, std::size_t xStride, float* out) {
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
      prefetchBlock(group + static_cast<std::size_t>(k) * groupRows * static_cast<std::size_t>(layoutOf(T).floatBytes), 4 * groupRows * layoutOf(T).floatBytes);
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
    storeSums<Rows>(sums, out);
  }

  template <int Rows>
  KVASIR_INLINE static inline void storeSums(const F (&sums)[V][Rows], float* out) {
    unroll<V>([&](auto v) KVASIR_INLINE {
      unroll<Rows>([&](auto r) KVASIR_INLINE { S::storeFloats(out + r * groupRows + S::lanes * v, sums[v][r]); });
    });
  }

  // Calls body(Index<rows>) for rows = 1..Most.
  template <int Most, class Body>
  KVASIR_INLINE static inline void withRows(int rows, const Body& body) {
    unroll<Most>([&](auto r) KVASIR_INLINE {
      if (rows == r + 1) body(Index<r + 1>{});
    });
  }

  template <WeightType T>
  static void floatsOf(const std::uint8_t* group, int cols, int rows, const float* x, std::size_t xStride, float* out) {
    withRows<S::decodeRowsExact>(rows, [&](auto r) { floats<r, T>(group, cols, x, xStride, out); });
  }

  static void decodeFloats(WeightType type, const std::uint8_t* group, int cols, int rows, const float* x,
                           std::size_t xStride, float* out) {
    if (type == WeightType::f32) return floatsOf<WeightType::f32>(group, cols, rows, x, xStride, out);
    if (type == WeightType::f16) return floatsOf<WeightType::f16>(group, cols, rows, x, xStride, out);
    return floatsOf<WeightType::bf16>(group, cols, rows, x, xStride, out);
  }

  static void decodeExact(WeightType type, const std::uint8_t* group, int cols, int rows, const DigitBlock* x, float* out) {
    withQuantised(type, [&](auto tag) {
      withRows<S::decodeRowsExact>(rows, [&](auto r) { exact<r, decltype(tag)::type>(group, cols / blockCols, x, out); });
    });
  }

  static void decodeFast(WeightType type, const std::uint8_t* group, int cols, int rows, const ActBlock* x, float* out) {
    withQuantised(type, [&](auto tag) {
      withRows<S::decodeRowsFast>(rows, [&](auto r) { fast<r, decltype(tag)::type>(group, cols / blockCols, x, out); });
    });
  }
};

}  // namespace
}  // namespace kvasir::lin
