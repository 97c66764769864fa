// Eight 64-bit words on AVX-512 BW; with VPOPCNTDQ where the file is compiled for it.
#pragma once

#include "../simd/vec_avx512.h"

namespace kvasir::lsh {
namespace {

struct Words {
  using V = __m512i;
  // Register tile of the products: 28 accumulators.
  static constexpr int kHashRows = 14;
  static constexpr int kHashVecs = 2;

  // GCC 12 may spill a mask as the bytes that it has and read back four: widened here, whatever was read.
  static unsigned bitsOf(__mmask8 mask) {
    unsigned bits = mask;
    asm("movzbl %b0, %k0" : "+q"(bits));
    return bits;
  }
  static unsigned bitsOf(__mmask16 mask) {
    unsigned bits = mask;
    asm("movzwl %w0, %k0" : "+r"(bits));
    return bits;
  }

  static std::uint32_t notNegative(Vec::F x) { return bitsOf(_mm512_cmp_ps_mask(x, Vec::zero(), _CMP_GE_OQ)); }

  static V zero() { return _mm512_setzero_si512(); }
  static V set(std::uint64_t x) { return _mm512_set1_epi64(static_cast<long long>(x)); }
  static V load(const std::uint64_t* p) { return _mm512_loadu_si512(p); }
  static V addWords(V a, V b) { return _mm512_add_epi64(a, b); }
  static void store(std::uint64_t* p, V x) { _mm512_storeu_si512(p, x); }
  static V smaller(V a, V b) { return _mm512_min_epu64(a, b); }
  static V larger(V a, V b) { return _mm512_max_epu64(a, b); }
  // The last lane of `previous`, then all of `own` but the last.
  static V shifted(V previous, V own) { return _mm512_alignr_epi64(own, previous, 7); }
  static V upper(V a) { return _mm512_slli_epi64(a, 32); }

  // As sixteen 32-bit numbers.
  static V setInts(std::int32_t x) { return _mm512_set1_epi32(x); }
  static V loadInts(const std::int32_t* p) { return _mm512_loadu_si512(p); }
  static void storeInts(std::int32_t* p, V x) { _mm512_storeu_si512(p, x); }
  static V smallerInts(V a, V b) { return _mm512_min_epi32(a, b); }
  static unsigned belowInts(V a, V limit) { return bitsOf(_mm512_cmplt_epi32_mask(a, limit)); }
  static V countBelow(V counts, V a, V limit) {
    return _mm512_mask_sub_epi32(counts, _mm512_cmplt_epi32_mask(a, limit), counts, _mm512_set1_epi32(-1));
  }

#if defined(__AVX512VPOPCNTDQ__)
  struct Hamming {
    static V add(V sum, V a, V b) { return _mm512_add_epi64(sum, _mm512_popcnt_epi64(_mm512_xor_si512(a, b))); }
    static V total(V sum) { return sum; }
  };
#else
  // Bits of each half byte by table, summed in bytes (Mula et al. 2018).
  struct Hamming {
    static V add(V sum, V a, V b) {
      const V low = _mm512_set1_epi8(15), differ = _mm512_xor_si512(a, b);
      const V counts = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
      const V lower = _mm512_shuffle_epi8(counts, _mm512_and_si512(differ, low));
      const V upper = _mm512_shuffle_epi8(counts, _mm512_and_si512(_mm512_srli_epi16(differ, 4), low));
      return _mm512_add_epi8(sum, _mm512_add_epi8(lower, upper));
    }
    static V total(V sum) { return _mm512_sad_epu8(sum, zero()); }
  };
#endif

  struct L1 {
    static V add(V sum, V a, V b) { return _mm512_add_epi64(sum, _mm512_sad_epu8(a, b)); }
    static V total(V sum) { return sum; }
  };
};

}  // namespace
}  // namespace kvasir::lsh
