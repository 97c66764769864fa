// Four 64-bit words on AVX2; see words_avx512.h.
#pragma once

#include "../simd/vec_avx2.h"

namespace kvasir::lsh {
namespace {

struct Words {
  using V = __m256i;
  // 12 accumulators of 16 registers.
  static constexpr int kHashRows = 6;
  static constexpr int kHashVecs = 2;

  static std::uint32_t notNegative(Vec::F x) {
    return static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(x, Vec::zero(), _CMP_GE_OQ)));
  }

  static V zero() { return _mm256_setzero_si256(); }
  static V set(std::uint64_t x) { return _mm256_set1_epi64x(static_cast<long long>(x)); }
  static V load(const std::uint64_t* p) { return _mm256_loadu_si256(reinterpret_cast<const V*>(p)); }
  static V addWords(V a, V b) { return _mm256_add_epi64(a, b); }
  static void store(std::uint64_t* p, V x) { _mm256_storeu_si256(reinterpret_cast<V*>(p), x); }
  // No number here has its highest bit set, so that signed comparisons will do.
  static V smaller(V a, V b) { return _mm256_blendv_epi8(a, b, _mm256_cmpgt_epi64(a, b)); }
  static V larger(V a, V b) { return _mm256_blendv_epi8(b, a, _mm256_cmpgt_epi64(a, b)); }
  static V shifted(V previous, V own) { return _mm256_alignr_epi8(own, _mm256_permute2x128_si256(previous, own, 0x21), 8); }
  static V upper(V a) { return _mm256_slli_epi64(a, 32); }

  // As eight 32-bit numbers.
  static V setInts(std::int32_t x) { return _mm256_set1_epi32(x); }
  static V loadInts(const std::int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const V*>(p)); }
  static void storeInts(std::int32_t* p, V x) { _mm256_storeu_si256(reinterpret_cast<V*>(p), x); }
  static V smallerInts(V a, V b) { return _mm256_min_epi32(a, b); }
  static unsigned belowInts(V a, V limit) {
    return static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(limit, a))));
  }
  static V countBelow(V counts, V a, V limit) { return _mm256_sub_epi32(counts, _mm256_cmpgt_epi32(limit, a)); }

  struct Hamming {
    static V add(V sum, V a, V b) {
      const V low = _mm256_set1_epi8(15), differ = _mm256_xor_si256(a, b);
      const V counts = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
      const V lower = _mm256_shuffle_epi8(counts, _mm256_and_si256(differ, low));
      const V upper = _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16(differ, 4), low));
      return _mm256_add_epi8(sum, _mm256_add_epi8(lower, upper));
    }
    static V total(V sum) { return _mm256_sad_epu8(sum, zero()); }
  };

  struct L1 {
    static V add(V sum, V a, V b) { return _mm256_add_epi64(sum, _mm256_sad_epu8(a, b)); }
    static V total(V sum) { return sum; }
  };
};

}  // namespace
}  // namespace kvasir::lsh
