// Code kernels on AVX-512. A lane of 128 bits holds the codes of one token (two bits a channel) or of two (one bit).
#pragma once

#include <immintrin.h>

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
  static void storeBuckets(const float* values, int shift, std::int32_t first, std::int32_t last, std::int32_t* out) {
    const __m512i keys = _mm512_castps_si512(_mm512_loadu_ps(values));
    const __m512i bucket =
        _mm512_sub_epi32(_mm512_srai_epi32(keys, static_cast<unsigned>(shift)), _mm512_set1_epi32(first));
    _mm512_storeu_si512(out,
                        _mm512_min_epi32(_mm512_max_epi32(bucket, _mm512_setzero_si512()), _mm512_set1_epi32(last)));
  }

  // out[head][i] = base[head] + slope[head] * sum of (step - zero) * weight, for `count` tokens.
  template <int kBits, int kHeads>
  static void sums(const std::uint8_t* codes, std::size_t planeBytes, int units, int count, const std::int8_t* weights,
                   int weightStride, const float* base, const float* slope, float* out, std::size_t outStride) {
    constexpr int kRow = 8 * kBits;
    constexpr int kTokens = 64 / kRow;  // of one load
    constexpr int kLoads = 16 / kTokens;
    constexpr int kTerms = 8 / kBits;
    // The zero of the steps, taken off before the sums begin.
    __m512i zeros[kTerms], start[kHeads];
    for (int k = 0; k < kTerms; ++k) zeros[k] = _mm512_set1_epi8(static_cast<char>(codeScale(kBits).zero));
    for (int h = 0; h < kHeads; ++h) {
      __m512i sum = _mm512_setzero_si512();
      for (int unit = 0; unit < units; ++unit) {
        __m512i w[kTerms];
        for (int k = 0; k < kTerms; ++k)
          w[k] = broadcast<kRow>(weights + h * weightStride + unit * kUnitChannels + k * kRow);
        sum = Dots::template add<kTerms>(sum, zeros, w);
      }
      start[h] = _mm512_sub_epi32(_mm512_setzero_si512(), sum);
    }
    for (int at = 0; at < count; at += 16) {
      const int left = count - at;
      __m512i total[kHeads][kLoads];
      for (int h = 0; h < kHeads; ++h) {
        for (int n = 0; n < kLoads; ++n) total[h][n] = start[h];
      }
      for (int unit = 0; unit < units; ++unit) {
        const std::uint8_t* rows =
            codes + static_cast<std::size_t>(unit) * planeBytes + static_cast<std::size_t>(at) * kRow;
        __m512i w[kHeads][kTerms];
        for (int h = 0; h < kHeads; ++h) {
          for (int k = 0; k < kTerms; ++k)
            w[h][k] = broadcast<kRow>(weights + h * weightStride + unit * kUnitChannels + k * kRow);
        }
#pragma GCC unroll 4
        for (int n = 0; n < kLoads; ++n) {
          if (n * kTokens >= left) break;
          __m512i x[kTerms];
          expand<kBits>(_mm512_loadu_si512(rows + n * 64), x);
          for (int h = 0; h < kHeads; ++h) total[h][n] = Dots::template add<kTerms>(total[h][n], x, w[h]);
        }
      }
      const __mmask16 valid = static_cast<__mmask16>(left >= 16 ? 0xffffu : (1u << left) - 1u);
      for (int h = 0; h < kHeads; ++h) {
        const __m512 sum = _mm512_cvtepi32_ps(tokenSums<kBits>(total[h]));
        _mm512_mask_storeu_ps(out + static_cast<std::size_t>(h) * outStride + at, valid,
                              _mm512_fmadd_ps(sum, _mm512_set1_ps(slope[h]), _mm512_set1_ps(base[h])));
      }
    }
  }

 private:
  template <int kRow>
  static __m512i broadcast(const std::int8_t* w) {
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
    if constexpr (kBits == 2) {
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

  // Sixteen token sums in order from the partial sums of all loads.
  template <int kBits>
  static __m512i tokenSums(const __m512i* total) {
    if constexpr (kBits == 2) {
      const __m512i ab =
          _mm512_add_epi32(_mm512_unpacklo_epi32(total[0], total[1]), _mm512_unpackhi_epi32(total[0], total[1]));
      const __m512i cd =
          _mm512_add_epi32(_mm512_unpacklo_epi32(total[2], total[3]), _mm512_unpackhi_epi32(total[2], total[3]));
      const __m512i sums = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
      // Lane l has tokens l, 4 + l, 8 + l, 12 + l.
      return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), sums);
    } else {
      const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
      const __m512i odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
      return _mm512_add_epi32(_mm512_permutex2var_epi32(total[0], even, total[1]),
                              _mm512_permutex2var_epi32(total[0], odd, total[1]));
    }
  }
};

}  // namespace
}  // namespace kvasir::selection
