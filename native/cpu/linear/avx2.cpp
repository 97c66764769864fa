#include <immintrin.h>

#include "simd_table.h"

namespace kvasir::lin {
namespace {

// 8 lanes of AVX2, FMA, F16C.
struct Avx2 {
  using F = __m256;
  using I = __m256i;
  static constexpr int lanes = 8;
  static constexpr int panelGroups = 1;
  static constexpr int tileRowsFloat = 6;
  static constexpr int tileRowsByte = 3;
  static constexpr int decodeRowsFloat = 2;
  static constexpr int decodeRowsExact = 2;
  static constexpr int decodeRowsFast = 4;
  static constexpr int wideOffsetBits = 7;  // dot<true> leaves 2^7 to be subtracted from a code

  static F zero() { return _mm256_setzero_ps(); }
  static F broadcast(float x) { return _mm256_set1_ps(x); }
  static F add(F a, F b) { return _mm256_add_ps(a, b); }
  static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static F negate(F a) { return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f)); }
  static F toFloat(I a) { return _mm256_cvtepi32_ps(a); }

  static F loadFloats(const void* p) { return _mm256_loadu_ps(static_cast<const float*>(p)); }
  static F loadHalves(const std::uint8_t* p) { return _mm256_cvtph_ps(load16(p)); }
  static F loadBfloats(const std::uint8_t* p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load16(p)), 16));
  }
  static F loadUnsigned(const std::uint8_t* p) { return toFloat(_mm256_cvtepu8_epi32(load8(p))); }
  static F loadSigned(const std::uint8_t* p) { return toFloat(_mm256_cvtepi8_epi32(load8(p))); }
  static void storeFloats(float* p, F a) { _mm256_storeu_ps(p, a); }
  static void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

  static I zeroInts() { return _mm256_setzero_si256(); }
  static I broadcastInt(int x) { return _mm256_set1_epi32(x); }
  static I broadcastFour(const std::int8_t* p) {
    int four;
    __builtin_memcpy(&four, p, 4);
    return _mm256_set1_epi32(four);
  }
  static I loadBytes(const std::uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const I*>(p)); }
  static void storeBytes(std::uint8_t* p, I a) { _mm256_storeu_si256(reinterpret_cast<I*>(p), a); }
  static I orBytes(I a, I b) { return _mm256_or_si256(a, b); }
  static I subtractBytes(I a, int b) { return _mm256_sub_epi8(a, _mm256_set1_epi8(static_cast<char>(b))); }

  // (a >> Right) & Mask in every byte; a negative Right shifts left. Mask removes what crosses bytes.
  template <int Right, int Mask>
  static I keep(I a) {
    if constexpr (Right > 0) a = _mm256_srli_epi16(a, Right);
    if constexpr (Right < 0) a = _mm256_slli_epi16(a, -Right);
    return _mm256_and_si256(a, _mm256_set1_epi8(Mask));
  }

  template <int Byte>
  static I unsignedByte(I a) {
    if constexpr (Byte == 3) return _mm256_srli_epi32(a, 24);
    if constexpr (Byte > 0) a = _mm256_srli_epi32(a, 8 * Byte);
    return _mm256_and_si256(a, _mm256_set1_epi32(255));
  }
  template <int Byte>
  static I signedByte(I a) {
    if constexpr (Byte < 3) a = _mm256_slli_epi32(a, 24 - 8 * Byte);
    return _mm256_srai_epi32(a, 24);
  }

  // sum + products of four unsigned codes and four signed activations in each lane; Wide: codes of a full byte,
  // whose pairs of products would overflow 16 bits.
  template <bool Wide>
  static I dot(I sum, I codes, I x) {
    if constexpr (Wide) {
      const I even = _mm256_madd_epi16(_mm256_and_si256(codes, _mm256_set1_epi16(255)), _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8));
      const I odd = _mm256_madd_epi16(_mm256_srli_epi16(codes, 8), _mm256_srai_epi16(x, 8));
      return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));
    } else {
      return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(codes, x), _mm256_set1_epi16(1)));
    }
  }

  static I magnitudeBits(F a) { return _mm256_and_si256(_mm256_castps_si256(a), _mm256_set1_epi32(0x7fffffff)); }
  static I maxInts(I a, I b) { return _mm256_max_epi32(a, b); }
  static int maxLane(I a) {
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1)));
  }
  static I roundToInts(F a) { return _mm256_cvtps_epi32(a); }  // to nearest, ties to even
  static I addInts(I a, I b) { return _mm256_add_epi32(a, b); }
  static I subtractInts(I a, I b) { return _mm256_sub_epi32(a, b); }
  static I shiftLeft(I a, int bits) { return _mm256_sll_epi32(a, _mm_cvtsi32_si128(bits)); }
  static I shiftRight8(I a) { return _mm256_srai_epi32(a, 8); }
  static void storeLowBytes(std::int8_t* p, I a) {
    const I lowest = _mm256_shuffle_epi8(a, _mm256_set1_epi32(0x0c080400));  // each half's bytes, in every lane of it
    const __m128i both = _mm_unpacklo_epi32(_mm256_castsi256_si128(lowest), _mm256_extracti128_si256(lowest, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), both);
  }
  static int sumBytes16(const std::int8_t* p) {
    const __m128i raised = _mm_xor_si128(load16(p), _mm_set1_epi8(-128));
    const __m128i sums = _mm_sad_epu8(raised, _mm_setzero_si128());
    return _mm_cvtsi128_si32(_mm_add_epi32(sums, _mm_unpackhi_epi64(sums, sums))) - 16 * 128;
  }

 private:
  static __m128i load16(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
  static __m128i load8(const void* p) { return _mm_loadl_epi64(static_cast<const __m128i*>(p)); }
};

}  // namespace

const FloatKernels avx2Floats = floatKernels<Avx2>;
const ByteKernels avx2Bytes = byteKernels<Avx2>;

}  // namespace kvasir::lin
