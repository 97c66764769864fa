// Eight float lanes on AVX2, FMA and F16C; see vec_avx512.h for what the names promise.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace kvasir {
namespace {

struct Vec {
  using F = __m256;
  using I = __m256i;
  using M = __m256;
  static constexpr int kLanes = 8;
  static constexpr int kTileRows = 4;
  static constexpr int kTileVecs = 3;
  static constexpr int kRunHeads = 3;

  static F zero() { return _mm256_setzero_ps(); }
  static F set(float x) { return _mm256_set1_ps(x); }
  static F load(const float* p) { return _mm256_loadu_ps(p); }
  static F load(const std::uint16_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static F loadPart(const float* p, int n) { return _mm256_maskload_ps(p, firstLanes(n)); }
  static F loadPart(const std::uint16_t* p, int n) {
    alignas(16) std::uint16_t row[kLanes] = {};
    for (int i = 0; i < n; ++i) row[i] = p[i];
    return load(row);
  }
  static void store(float* p, F x) { _mm256_storeu_ps(p, x); }
  static void storePart(float* p, F x, int n) { _mm256_maskstore_ps(p, firstLanes(n), x); }
  static void store(std::uint16_t* p, F x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow(x)); }
  static void storePart(std::uint16_t* p, F x, int n) {
    alignas(16) std::uint16_t row[kLanes];
    store(row, x);
    for (int i = 0; i < n; ++i) p[i] = row[i];
  }

  static F add(F a, F b) { return _mm256_add_ps(a, b); }
  static F sub(F a, F b) { return _mm256_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F div(F a, F b) { return _mm256_div_ps(a, b); }
  static F max(F a, F b) { return _mm256_max_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static F abs(F a) { return _mm256_andnot_ps(set(-0.0f), a); }
  static F round(F a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

  static I setInt(std::int32_t x) { return _mm256_set1_epi32(x); }
  static I loadInt(const std::int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static M lessEqual(I a, I b) { return _mm256_castsi256_ps(_mm256_xor_si256(_mm256_cmpgt_epi32(a, b), setInt(-1))); }
  static M both(M a, M b) { return _mm256_and_ps(a, b); }
  static M equal(F a, F b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
  static M negative(F a) { return _mm256_cmp_ps(a, zero(), _CMP_LT_OQ); }
  static F select(M m, F yes, F no) { return _mm256_blendv_ps(no, yes, m); }
  static F fmaWhere(M m, F a, F b, F c) { return select(m, fma(a, b, c), c); }

  static F scalePow2(F p, F n) {
    const I exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), setInt(127)), 23);
    return _mm256_and_ps(_mm256_cmp_ps(n, set(-126.0f), _CMP_NLT_UQ), mul(p, _mm256_castsi256_ps(exponent)));
  }

  static float sum(F x) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
  }
  static float maxLane(F x) {
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
  }

  static F sumRows4(F a, F b, F c, F d) { return _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d)); }
  static F finishSums(const F* quads) {
    return add(_mm256_permute2f128_ps(quads[0], quads[1], 0x20), _mm256_permute2f128_ps(quads[0], quads[1], 0x31));
  }

  static void loadPairs(const std::uint16_t* p, F& a, F& b) {
    const __m256i pairs = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    const __m256i low = _mm256_and_si256(pairs, _mm256_set1_epi32(0xffff)), high = _mm256_srli_epi32(pairs, 16);
    const __m256i apart = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xd8);
    a = _mm256_cvtph_ps(_mm256_castsi256_si128(apart));
    b = _mm256_cvtph_ps(_mm256_extracti128_si256(apart, 1));
  }
  static void storePairs(std::uint16_t* p, F a, F b) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), joined(a, b)); }
  static void streamPairs(std::uint16_t* p, F a, F b) { _mm256_stream_si256(reinterpret_cast<__m256i*>(p), joined(a, b)); }

  static void stream(std::uint16_t* p, F x) { _mm_stream_si128(reinterpret_cast<__m128i*>(p), narrow(x)); }
  static void streamLine(std::uint8_t* to, const std::uint8_t* from) {
    for (int i = 0; i < 64; i += 32) {
      _mm256_stream_si256(reinterpret_cast<__m256i*>(to + i), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i)));
    }
  }
  static void settle() { _mm_sfence(); }

  static void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

 private:
  static I firstLanes(int n) { return _mm256_cmpgt_epi32(setInt(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)); }
  static __m256i joined(F a, F b) {
    const __m128i low = narrow(a), high = narrow(b);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_unpacklo_epi16(low, high)), _mm_unpackhi_epi16(low, high), 1);
  }
  static __m128i narrow(F x) {
    return _mm256_cvtps_ph(_mm256_max_ps(set(-65504.0f), _mm256_min_ps(set(65504.0f), x)), _MM_FROUND_TO_NEAREST_INT);
  }
};

}  // namespace
}  // namespace kvasir
