// Code kernels on AVX2: as codes_avx512.h, half as wide.
#pragma once

#include <immintrin.h>

#include "folded.h"
#include "layout.h"

namespace kvasir::selection {
namespace {

struct Codes256 {
  static __m256 loadBytes(const std::uint8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  static __m256 loadSigned(const std::int8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  // Deviations of channels from i on: the low or the high four bits of eight bytes.
  static __m256 loadNibbles(const std::uint8_t* p, int i) {
    const __m128i both = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + i / 16 * 8));
    const __m128i codes = _mm_and_si128(i % 16 == 0 ? both : _mm_srli_epi16(both, 4), _mm_set1_epi8(15));
    const __m128i table = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kDeviations));
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_shuffle_epi8(table, codes)));
  }
  static void storeRounded(std::int8_t* p, __m256 x) {
    const __m256i words = _mm256_cvtps_epi32(x);
    const __m128i halves = _mm_packs_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(halves, halves));
  }

  static __m256 maxRows4(__m256 a, __m256 b, __m256 c, __m256 d) {
    const __m256 ab = _mm256_max_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    const __m256 cd = _mm256_max_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    return _mm256_max_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
  }

  static int storeKeysBetween(const float* values, std::int32_t low, std::int32_t high, std::int32_t first,
                              std::int32_t* out) {
    const __m256i keys = _mm256_castps_si256(_mm256_loadu_ps(values));
    const __m256i outside = _mm256_or_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(low), keys),
                                            _mm256_cmpgt_epi32(keys, _mm256_set1_epi32(high)));
    int count = 0;
    unsigned found = ~static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(outside))) & 0xffu;
    for (; found != 0; found &= found - 1) out[count++] = first + __builtin_ctz(found);
    return count;
  }
  using Counter = __m256i;
  static Counter noCount() { return _mm256_setzero_si256(); }
  static Counter countFrom(Counter counter, const float* values, std::int32_t probe) {
    const __m256i keys = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values));
    return _mm256_sub_epi32(counter, _mm256_cmpgt_epi32(keys, _mm256_set1_epi32(probe - 1)));
  }
  static std::int32_t total(Counter counter) {
    const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(counter), _mm256_extracti128_si256(counter, 1));
    const __m128i two = _mm_add_epi32(four, _mm_srli_si128(four, 8));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_srli_si128(two, 4)));
  }

  template <int kBits>
  static void zeroSums(const std::int8_t* weights, int units, std::int32_t* out) {
    constexpr int kRow = 8 * kBits;
    const __m256i zeros = _mm256_set1_epi8(static_cast<char>(codeScale(kBits).zero));
    __m256i sum = _mm256_setzero_si256();
    for (int at = 0; at < units * kUnitChannels; at += 32) {
      const __m256i pairs =
          _mm256_maddubs_epi16(zeros, _mm256_load_si256(reinterpret_cast<const __m256i*>(weights + at)));
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    __m256i row = sum;
    if constexpr (kRow < 32) {
      const __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
      const __m128i quarter = kRow < 16 ? _mm_add_epi32(half, _mm_srli_si128(half, 8)) : half;
      row = _mm256_castsi128_si256(quarter);
    }
    _mm256_store_si256(reinterpret_cast<__m256i*>(out), _mm256_sub_epi32(_mm256_setzero_si256(), row));
  }

  template <int kBits, int kHeads>
  static void estimateBlock(const std::uint8_t* codes, std::size_t planeBytes, int units, const FoldedSegment& folded,
                            int weightStride, int count, float* out, std::size_t outStride) {
    constexpr int kRow = 8 * kBits;
    constexpr int kTokens = 32 / kRow;
    constexpr int kLoads = 8 / kTokens;
    constexpr int kTerms = 8 / kBits;
    for (int at = 0; at < count; at += 8) {
      __m256i total[kHeads][kLoads];
      for (int h = 0; h < kHeads; ++h) {
        const __m256i start = broadcast<kRow>(reinterpret_cast<const std::int8_t*>(folded.zeroSums + h * kZeroSums));
        for (int n = 0; n < kLoads; ++n) total[h][n] = start;
      }
      for (int unit = 0; unit < units; ++unit) {
        const std::uint8_t* rows =
            codes + static_cast<std::size_t>(unit) * planeBytes + static_cast<std::size_t>(at) * kRow;
        const std::int8_t* weights = folded.weights + unit * kUnitChannels;
#pragma GCC unroll 8
        for (int n = 0; n < kLoads; ++n) {
          __m256i x[kTerms];
          expand<kBits>(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows + n * 32)), x);
          for (int h = 0; h < kHeads; ++h)
            total[h][n] = addDots<kRow, kTerms>(total[h][n], x, weights + h * weightStride);
        }
      }
      const int left = count - at;
      for (int h = 0; h < kHeads; ++h) {
        const __m256 sum = _mm256_cvtepi32_ps(tokenSums<kBits>(total[h]));
        const __m256 score = _mm256_fmadd_ps(sum, _mm256_set1_ps(folded.slope[h]), _mm256_set1_ps(folded.base[h]));
        float* target = out + static_cast<std::size_t>(h) * outStride + at;
        if (left >= 8) {
          _mm256_storeu_ps(target, score);
        } else {
          const __m256i valid = _mm256_cmpgt_epi32(_mm256_set1_epi32(left), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
          _mm256_maskstore_ps(target, valid, score);
        }
      }
    }
  }

 private:
  template <int kRow>
  static __m256i broadcast(const std::int8_t* w) {
    if constexpr (kRow == 32) return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w));
    if constexpr (kRow == 16) return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w)));
    return _mm256_broadcastq_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(w)));
  }

  // No 16-bit sum overflows: see MaddDots.
  template <int kRow, int kTerms>
  static __m256i addDots(__m256i sum, const __m256i* x, const std::int8_t* w) {
    __m256i pairs = _mm256_maddubs_epi16(x[0], broadcast<kRow>(w));
    for (int k = 1; k < kTerms; ++k)
      pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(x[k], broadcast<kRow>(w + k * kRow)));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }

  template <int kBits>
  static void expand(__m256i codes, __m256i* x) {
    if constexpr (kBits == 4) {
      const __m256i nibble = _mm256_set1_epi8(15);
      const __m256i steps = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(kSteps4)));
      x[0] = _mm256_shuffle_epi8(steps, _mm256_and_si256(codes, nibble));
      x[1] = _mm256_shuffle_epi8(steps, _mm256_and_si256(_mm256_srli_epi16(codes, 4), nibble));
    } else if constexpr (kBits == 2) {
      const __m256i nibble = _mm256_set1_epi8(15);
      const __m256i low = _mm256_and_si256(codes, nibble);
      const __m256i high = _mm256_and_si256(_mm256_srli_epi16(codes, 4), nibble);
      const __m256i first =
          _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 7, 13, 20, 0, 7, 13, 20, 0, 7, 13, 20, 0, 7, 13, 20));
      const __m256i second =
          _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 0, 0, 0, 7, 7, 7, 7, 13, 13, 13, 13, 20, 20, 20, 20));
      x[0] = _mm256_shuffle_epi8(first, low);
      x[1] = _mm256_shuffle_epi8(second, low);
      x[2] = _mm256_shuffle_epi8(first, high);
      x[3] = _mm256_shuffle_epi8(second, high);
    } else {
      const __m256i two = _mm256_set1_epi8(2);
      x[0] = _mm256_and_si256(_mm256_add_epi8(codes, codes), two);
      for (int k = 1; k < 8; ++k) x[k] = _mm256_and_si256(_mm256_srli_epi16(codes, k - 1), two);
    }
  }

  template <int kBits>
  static __m256i tokenSums(const __m256i* total) {
    if constexpr (kBits == 4) {
      const __m256i low = _mm256_hadd_epi32(_mm256_hadd_epi32(total[0], total[1]), _mm256_hadd_epi32(total[2], total[3]));
      const __m256i high =
          _mm256_hadd_epi32(_mm256_hadd_epi32(total[4], total[5]), _mm256_hadd_epi32(total[6], total[7]));
      return _mm256_add_epi32(_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31));
    } else if constexpr (kBits == 2) {
      const __m256i ab =
          _mm256_add_epi32(_mm256_unpacklo_epi32(total[0], total[1]), _mm256_unpackhi_epi32(total[0], total[1]));
      const __m256i cd =
          _mm256_add_epi32(_mm256_unpacklo_epi32(total[2], total[3]), _mm256_unpackhi_epi32(total[2], total[3]));
      const __m256i sums = _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
      // Lane 0 has tokens 0 2 4 6, lane 1 tokens 1 3 5 7.
      return _mm256_permutevar8x32_epi32(sums, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    } else {
      // Pairs of both loads side by side: lane 0 has tokens 0 1 4 5, lane 1 tokens 2 3 6 7.
      const __m256i sums = _mm256_hadd_epi32(total[0], total[1]);
      return _mm256_permutevar8x32_epi32(sums, _mm256_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7));
    }
  }
};

}  // namespace
}  // namespace kvasir::selection
