// Code kernels on AVX-512. A lane of 128 bits holds the codes of one token (two bits a channel), of two (one bit), or
// half of them (four bits).
#pragma once

#include <immintrin.h>

#include "folded.h"
#include "layout.h"

namespace kvasir::selection {
namespace {

// sum + x . w over groups of four bytes, x unsigned and small, w signed.
struct MaddDots {
  template <int kTerms>
  static __m512i add(__m512i sum, const __m512i* x, const __m512i* w) {
    // At most 2 * 20 * 127 a term and 4 terms, or 4 * 127 and 8: no 16-bit sum overflows.
    __m512i pairs = _mm512_maddubs_epi16(x[0], w[0]);
    for (int k = 1; k < kTerms; ++k) pairs = _mm512_add_epi16(pairs, _mm512_maddubs_epi16(x[k], w[k]));
    return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
  }
};

#if defined(__AVX512VNNI__)
struct VnniDots {
  template <int kTerms>
  static __m512i add(__m512i sum, const __m512i* x, const __m512i* w) {
    for (int k = 0; k < kTerms; ++k) sum = _mm512_dpbusd_epi32(sum, x[k], w[k]);
    return sum;
  }
};
#endif

template <class Dots>
struct Codes512 {
  static __m512 loadBytes(const std::uint8_t* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  static __m512 loadSigned(const std::int8_t* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  // Deviations of channels from i on, of four bits each.
  static __m512 loadNibbles(const std::uint8_t* p, int i) {
    const __m128i both = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + i / 2));
    const __m128i codes =
        _mm_and_si128(_mm_unpacklo_epi64(both, _mm_srli_epi16(both, 4)), _mm_set1_epi8(15));
    const __m128i table = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kDeviations));
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_shuffle_epi8(table, codes)));
  }
  // To whole numbers of 8 bits, ties to even.
  static void storeRounded(std::int8_t* p, __m512 x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x)));
  }

  // One value of each of four rows a lane of 128 bits: the largest of its four.
  static __m512 maxRows4(__m512 a, __m512 b, __m512 c, __m512 d) {
    const __m512 ab = _mm512_max_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const __m512 cd = _mm512_max_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    return _mm512_max_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
  }

  // Writes the positions, counted from `first`, of the lanes whose key lies in [low, high]; returns how many.
  static int storeKeysBetween(const float* values, std::int32_t low, std::int32_t high, std::int32_t first,
                              std::int32_t* out) {
    const __m512i keys = _mm512_castps_si512(_mm512_loadu_ps(values));
    const __mmask16 found = _mm512_mask_cmple_epi32_mask(_mm512_cmple_epi32_mask(_mm512_set1_epi32(low), keys), keys,
                                                         _mm512_set1_epi32(high));
    const int count = __builtin_popcount(found);
    const __m512i positions = _mm512_add_epi32(_mm512_set1_epi32(first),
                                               _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    _mm512_mask_storeu_epi32(out, static_cast<__mmask16>((1u << count) - 1u),
                             _mm512_maskz_compress_epi32(found, positions));
    return count;
  }
  // Adds to counts[p] how many lanes have a key of at least probes[p].
  using Counter = __m512i;
  static Counter noCount() { return _mm512_setzero_si512(); }
  static Counter countFrom(Counter counter, const float* values, std::int32_t probe) {
    const __mmask16 found = _mm512_cmple_epi32_mask(_mm512_set1_epi32(probe), _mm512_castps_si512(_mm512_loadu_ps(values)));
    return _mm512_mask_sub_epi32(counter, found, counter, _mm512_set1_epi32(-1));
  }
  static std::int32_t total(Counter counter) { return _mm512_reduce_add_epi32(counter); }

  // What the zero of the steps adds to the sums of a token, negated: taken off before the sums begin.
  template <int kBits>
  static void zeroSums(const std::int8_t* weights, int units, std::int32_t* out) {
    constexpr int kRow = 8 * kBits;
    __m512i sum = _mm512_setzero_si512();
    const __m512i zeros = _mm512_set1_epi8(static_cast<char>(codeScale(kBits).zero));
    for (int unit = 0; unit < units; ++unit) {
      const __m512i w = _mm512_load_si512(weights + unit * kUnitChannels);
      sum = Dots::template add<1>(sum, &zeros, &w);
    }
    // Terms lie behind each other; a row of a token is as long as one term.
    const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64(sum, 1));
    __m256i row = half;
    if constexpr (kRow < 32) {
      const __m128i quarter = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
      const __m128i eighth = kRow < 16 ? _mm_add_epi32(quarter, _mm_srli_si128(quarter, 8)) : quarter;
      row = _mm256_castsi128_si256(eighth);
    }
    _mm256_store_si256(reinterpret_cast<__m256i*>(out), _mm256_sub_epi32(_mm256_setzero_si256(), row));
  }

  // out[head][i] = base[head] + slope[head] * sum of (step - zero) * weight, for the `count` first of 16 tokens.
  template <int kBits, int kHeads>
  [[gnu::always_inline]] static void estimateBlock(const std::uint8_t* codes, std::size_t planeBytes, int units, const FoldedSegment& folded,
                            int weightStride, int count, float* out, std::size_t outStride) {
    // Sums are put together as soon as they are made: all of them at once would not fit in the registers.
    __m512i sums[kHeads];
    if constexpr (kBits == 1) {
      __m512i low[kHeads], high[kHeads];
      addLoad<kBits, kHeads>(codes, planeBytes, units, folded, weightStride, low);
      addLoad<kBits, kHeads>(codes + 64, planeBytes, units, folded, weightStride, high);
      for (int h = 0; h < kHeads; ++h) sums[h] = sumsOfEighths(low[h], high[h]);
    } else {
      __m512i halves[2][kHeads];
#pragma GCC unroll 2
      for (int pair = 0; pair < 2; ++pair) {
        __m512i a[kHeads], b[kHeads];
        const std::uint8_t* rows = codes + pair * 8 * (8 * kBits);
        addQuad<kBits, kHeads>(rows, planeBytes, units, folded, weightStride, a);
        addQuad<kBits, kHeads>(rows + 4 * (8 * kBits), planeBytes, units, folded, weightStride, b);
        for (int h = 0; h < kHeads; ++h)
          halves[pair][h] = _mm512_add_epi32(_mm512_unpacklo_epi32(a[h], b[h]), _mm512_unpackhi_epi32(a[h], b[h]));
      }
      for (int h = 0; h < kHeads; ++h) sums[h] = sumsOfQuads<kBits>(halves[0][h], halves[1][h]);
    }
    const __mmask16 valid = static_cast<__mmask16>((1u << count) - 1u);
    for (int h = 0; h < kHeads; ++h) {
      const __m512 sum = _mm512_cvtepi32_ps(sums[h]);
      _mm512_mask_storeu_ps(out + static_cast<std::size_t>(h) * outStride, valid,
                            _mm512_fmadd_ps(sum, _mm512_set1_ps(folded.slope[h]), _mm512_set1_ps(folded.base[h])));
    }
  }

 private:
  template <int kRow>
  static __m512i broadcast(const std::int8_t* w) {
    if constexpr (kRow == 32) return _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w)));
    if constexpr (kRow == 16) return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w)));
    return _mm512_broadcastq_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(w)));
  }

  static __m512i table(char a, char b, char c, char d, char e, char f, char g, char h, char i, char j, char k, char l,
                       char m, char n, char o, char p) {
    return _mm512_broadcast_i32x4(_mm_setr_epi8(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p));
  }

  // Steps of the codes: of two bits by shuffles that look up a nibble at a time.
  template <int kBits>
  static void expand(__m512i codes, __m512i* x) {
    if constexpr (kBits == 4) {
      const __m512i nibble = _mm512_set1_epi8(15);
      const __m512i steps = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(kSteps4)));
      x[0] = _mm512_shuffle_epi8(steps, _mm512_and_si512(codes, nibble));
      x[1] = _mm512_shuffle_epi8(steps, _mm512_and_si512(_mm512_srli_epi16(codes, 4), nibble));
    } else if constexpr (kBits == 2) {
      const __m512i nibble = _mm512_set1_epi8(15);
      const __m512i low = _mm512_and_si512(codes, nibble);
      const __m512i high = _mm512_and_si512(_mm512_srli_epi16(codes, 4), nibble);
      const __m512i first = table(0, 7, 13, 20, 0, 7, 13, 20, 0, 7, 13, 20, 0, 7, 13, 20);
      const __m512i second = table(0, 0, 0, 0, 7, 7, 7, 7, 13, 13, 13, 13, 20, 20, 20, 20);
      x[0] = _mm512_shuffle_epi8(first, low);
      x[1] = _mm512_shuffle_epi8(second, low);
      x[2] = _mm512_shuffle_epi8(first, high);
      x[3] = _mm512_shuffle_epi8(second, high);
    } else {
      const __m512i two = _mm512_set1_epi8(2);
      x[0] = _mm512_and_si512(_mm512_add_epi8(codes, codes), two);
      for (int k = 1; k < 8; ++k) x[k] = _mm512_and_si512(_mm512_srli_epi16(codes, static_cast<unsigned>(k - 1)), two);
    }
  }

  // Products of 64 bytes of codes, begun at what the zero takes off: partial sums of the tokens that they hold.
  template <int kBits, int kHeads>
  [[gnu::always_inline]] static void addLoad(const std::uint8_t* codes, std::size_t planeBytes, int units,
                                             const FoldedSegment& folded, int weightStride, __m512i* total) {
    constexpr int kRow = 8 * kBits;
    constexpr int kTerms = 8 / kBits;
    for (int h = 0; h < kHeads; ++h)
      total[h] = broadcast<kRow>(reinterpret_cast<const std::int8_t*>(folded.zeroSums + h * kZeroSums));
    for (int unit = 0; unit < units; ++unit) {
      const std::int8_t* weights = folded.weights + unit * kUnitChannels;
      __m512i x[kTerms];
      expand<kBits>(_mm512_loadu_si512(codes + static_cast<std::size_t>(unit) * planeBytes), x);
      for (int h = 0; h < kHeads; ++h) {
        __m512i w[kTerms];
        for (int k = 0; k < kTerms; ++k) w[k] = broadcast<kRow>(weights + h * weightStride + k * kRow);
        total[h] = Dots::template add<kTerms>(total[h], x, w);
      }
    }
  }

  // Four tokens, one a lane of 128 bits; with four bits a channel in the order 0 2 1 3.
  template <int kBits, int kHeads>
  [[gnu::always_inline]] static void addQuad(const std::uint8_t* codes, std::size_t planeBytes, int units,
                                             const FoldedSegment& folded, int weightStride, __m512i* total) {
    addLoad<kBits, kHeads>(codes, planeBytes, units, folded, weightStride, total);
    if constexpr (kBits == 4) {
      __m512i more[kHeads];
      addLoad<kBits, kHeads>(codes + 64, planeBytes, units, folded, weightStride, more);
      for (int h = 0; h < kHeads; ++h) {
        const __m512i a = total[h], b = more[h];
        total[h] = _mm512_mask_blend_epi64(0xcc, _mm512_add_epi32(a, _mm512_shuffle_i64x2(a, a, 0xb1)),
                                           _mm512_add_epi32(b, _mm512_shuffle_i64x2(b, b, 0xb1)));
      }
    }
  }

  // Sixteen token sums in order: lane l of `ab` has the tokens l and 4 + l of the first eight.
  template <int kBits>
  static __m512i sumsOfQuads(__m512i ab, __m512i cd) {
    const __m512i sums = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    const __m512i order = kBits == 4
                              ? _mm512_setr_epi32(0, 8, 4, 12, 1, 9, 5, 13, 2, 10, 6, 14, 3, 11, 7, 15)
                              : _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, sums);
  }

  static __m512i sumsOfEighths(__m512i low, __m512i high) {
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    return _mm512_add_epi32(_mm512_permutex2var_epi32(low, even, high), _mm512_permutex2var_epi32(low, odd, high));
  }
};

}  // namespace
}  // namespace kvasir::selection
