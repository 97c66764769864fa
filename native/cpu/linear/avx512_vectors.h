// 16 lanes of AVX-512 F, BW, DQ, VL.
#pragma once

#include <immintrin.h>

#include "kernels.h"

namespace kvasir::lin {
namespace {

struct Avx512 {
  using F = __m512;
  using I = __m512i;
  static constexpr int lanes = 16;
  static constexpr int panelGroups = 2;
  static constexpr int tileRowsFloat = 14;
  static constexpr int tileRowsByte = 6;
  static constexpr int decodeRowsFloat = 4;
  static constexpr int decodeRowsExact = 2;
  static constexpr int decodeRowsFast = 4;
  static constexpr int wideOffsetBits = 7;  // dot<true> leaves 2^7 to be subtracted from a code

  static F zero() { return _mm512_setzero_ps(); }
  static F broadcast(float x) { return _mm512_set1_ps(x); }
  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F negate(F a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
  static F toFloat(I a) { return _mm512_cvtepi32_ps(a); }

  static F loadFloats(const void* p) { return _mm512_loadu_ps(p); }
  static F loadHalves(const std::uint8_t* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
  static F loadBfloats(const std::uint8_t* p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16));
  }
  static F loadUnsigned(const std::uint8_t* p) { return toFloat(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))); }
  static F loadSigned(const std::uint8_t* p) { return toFloat(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))); }
  static void storeFloats(float* p, F a) { _mm512_storeu_ps(p, a); }
  static void prefetch(const void* p) { _mm_prefetch(p, _MM_HINT_T0); }

  static I zeroInts() { return _mm512_setzero_si512(); }
  static I broadcastInt(int x) { return _mm512_set1_epi32(x); }
  static I broadcastFour(const std::int8_t* p) {
    int four;
    __builtin_memcpy(&four, p, 4);
    return _mm512_set1_epi32(four);
  }
  static I loadBytes(const std::uint8_t* p) { return _mm512_loadu_si512(p); }
  static void storeBytes(std::uint8_t* p, I a) { _mm512_storeu_si512(p, a); }
  static I orBytes(I a, I b) { return _mm512_or_si512(a, b); }
  static I subtractBytes(I a, int b) { return _mm512_sub_epi8(a, _mm512_set1_epi8(static_cast<char>(b))); }

  // (a >> Right) & Mask in every byte; a negative Right shifts left. Mask removes what crosses bytes.
  template <int Right, int Mask>
  static I keep(I a) {
    if constexpr (Right > 0) a = _mm512_srli_epi16(a, Right);
    if constexpr (Right < 0) a = _mm512_slli_epi16(a, -Right);
    return _mm512_and_si512(a, _mm512_set1_epi8(Mask));
  }

  template <int Byte>
  static I unsignedByte(I a) {
    if constexpr (Byte == 3) return _mm512_srli_epi32(a, 24);
    if constexpr (Byte > 0) a = _mm512_srli_epi32(a, 8 * Byte);
    return _mm512_and_si512(a, _mm512_set1_epi32(255));
  }
  template <int Byte>
  static I signedByte(I a) {
    if constexpr (Byte < 3) a = _mm512_slli_epi32(a, 24 - 8 * Byte);
    return _mm512_srai_epi32(a, 24);
  }

  // sum + products of four unsigned codes and four signed activations in each lane; Wide: codes of a full byte,
  // whose pairs of products would overflow 16 bits.
  template <bool Wide>
  static I dot(I sum, I codes, I x) {
    if constexpr (Wide) {
      const I even = _mm512_madd_epi16(_mm512_and_si512(codes, _mm512_set1_epi16(255)), _mm512_srai_epi16(_mm512_slli_epi16(x, 8), 8));
      const I odd = _mm512_madd_epi16(_mm512_srli_epi16(codes, 8), _mm512_srai_epi16(x, 8));
      return _mm512_add_epi32(sum, _mm512_add_epi32(even, odd));
    } else {
      return _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_maddubs_epi16(codes, x), _mm512_set1_epi16(1)));
    }
  }

  static I magnitudeBits(F a) { return _mm512_and_si512(_mm512_castps_si512(a), _mm512_set1_epi32(0x7fffffff)); }
  static I maxInts(I a, I b) { return _mm512_max_epi32(a, b); }
  static int maxLane(I a) { return _mm512_reduce_max_epi32(a); }
  static I roundToInts(F a) { return _mm512_cvtps_epi32(a); }  // to nearest, ties to even
  static I addInts(I a, I b) { return _mm512_add_epi32(a, b); }
  static I subtractInts(I a, I b) { return _mm512_sub_epi32(a, b); }
  static I shiftLeft(I a, int bits) { return _mm512_sll_epi32(a, _mm_cvtsi32_si128(bits)); }
  static I shiftRight8(I a) { return _mm512_srai_epi32(a, 8); }
  static void storeLowBytes(std::int8_t* p, I a) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a)); }
  static int sumBytes16(const std::int8_t* p) {
    const __m128i raised = _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)), _mm_set1_epi8(-128));
    const __m128i sums = _mm_sad_epu8(raised, _mm_setzero_si128());
    return _mm_cvtsi128_si32(_mm_add_epi32(sums, _mm_unpackhi_epi64(sums, sums))) - 16 * 128;
  }
};

}  // namespace
}  // namespace kvasir::lin
