// Sixteen float lanes on AVX-512 F, BW, DQ and VL. The names are those of every `Vec`; bodies are written on them
// alone.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace kvasir {
namespace {

struct Vec {
  using F = __m512;
  using I = __m512i;
  using M = __mmask16;
  static constexpr int kLanes = 16;
  // Register tile of the matrix kernels: kTileRows x kTileVecs accumulators, kTileVecs operands, one broadcast.
  static constexpr int kTileRows = 8;
  static constexpr int kTileVecs = 3;
  // Query heads that share a pass over decoded rows: as many as leave four rows' accumulators in registers.
  static constexpr int kRunHeads = 4;

  static F zero() { return _mm512_setzero_ps(); }
  static F set(float x) { return _mm512_set1_ps(x); }
  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static F load(const std::uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  // The first n < kLanes values, the other lanes zero; nothing beyond them is read or written.
  static F loadPart(const float* p, int n) { return _mm512_maskz_loadu_ps(firstLanes(n), p); }
  static F loadPart(const std::uint16_t* p, int n) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(firstLanes(n), p));
  }
  static void store(float* p, F x) { _mm512_storeu_ps(p, x); }
  static void storePart(float* p, F x, int n) { _mm512_mask_storeu_ps(p, firstLanes(n), x); }
  // Saturates; NaN passes because min and max return their second operand then.
  static void store(std::uint16_t* p, F x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow(x)); }
  static void storePart(std::uint16_t* p, F x, int n) { _mm256_mask_storeu_epi16(p, firstLanes(n), narrow(x)); }

  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F div(F a, F b) { return _mm512_div_ps(a, b); }
  static F max(F a, F b) { return _mm512_max_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F abs(F a) { return _mm512_abs_ps(a); }
  static F round(F a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

  static I setInt(std::int32_t x) { return _mm512_set1_epi32(x); }
  static I loadInt(const std::int32_t* p) { return _mm512_loadu_si512(p); }
  static M lessEqual(I a, I b) { return _mm512_cmple_epi32_mask(a, b); }
  static M both(M a, M b) { return a & b; }
  static M equal(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
  static M negative(F a) { return _mm512_cmp_ps_mask(a, zero(), _CMP_LT_OQ); }
  static F select(M m, F yes, F no) { return _mm512_mask_blend_ps(m, no, yes); }
  // a * b + c where m is set, c elsewhere: what is masked cannot leak, NaN included.
  static F fmaWhere(M m, F a, F b, F c) { return _mm512_mask3_fmadd_ps(a, b, c, m); }

  // p * 2^n for whole n <= 0; exactly 0 for n < -126 whatever p is.
  static F scalePow2(F p, F n) {
    return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(n, set(-126.0f), _CMP_NLT_UQ), p, n);
  }

  static float sum(F x) { return _mm512_reduce_add_ps(x); }
  static float maxLane(F x) { return _mm512_reduce_max_ps(x); }

  // Lane sums of many vectors at once: sumRows4 leaves kLanes / 4 partial sums of each of its rows,
  // finishSums takes kLanes / 4 of its results and returns one sum a lane, in the order of the rows.
  static F sumRows4(F a, F b, F c, F d) {
    const F ab = add(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const F cd = add(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    return add(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
  }
  static F finishSums(const F* quads) {
    const F low = add(_mm512_shuffle_f32x4(quads[0], quads[1], 0x44), _mm512_shuffle_f32x4(quads[0], quads[1], 0xee));
    const F high = add(_mm512_shuffle_f32x4(quads[2], quads[3], 0x44), _mm512_shuffle_f32x4(quads[2], quads[3], 0xee));
    return add(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd));
  }

  // Pairs (p[2i], p[2i + 1]) of float16, i < kLanes, and back; to the caches or, where p is aligned to 64, past them.
  static void loadPairs(const std::uint16_t* p, F& a, F& b) {
    const __m512i pairs = _mm512_loadu_si512(p);
    a = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(pairs));
    b = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(pairs, 16)));
  }
  static void storePairs(std::uint16_t* p, F a, F b) { _mm512_storeu_si512(p, joined(a, b)); }
  static void streamPairs(std::uint16_t* p, F a, F b) { _mm512_stream_si512(reinterpret_cast<__m512i*>(p), joined(a, b)); }

  // Past the caches: p is aligned to 32, lines to 64. Other threads see it after settle().
  static void stream(std::uint16_t* p, F x) { _mm256_stream_si256(reinterpret_cast<__m256i*>(p), narrow(x)); }
  static void streamLine(std::uint8_t* to, const std::uint8_t* from) {
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to), _mm512_loadu_si512(from));
  }
  static void settle() { _mm_sfence(); }

  static void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

 private:
  static __mmask16 firstLanes(int n) { return static_cast<__mmask16>((1u << n) - 1u); }
  static __m512i joined(F a, F b) {
    return _mm512_or_si512(_mm512_cvtepu16_epi32(narrow(a)), _mm512_slli_epi32(_mm512_cvtepu16_epi32(narrow(b)), 16));
  }
  static __m256i narrow(F x) {
    return _mm512_cvtps_ph(_mm512_max_ps(set(-65504.0f), _mm512_min_ps(set(65504.0f), x)), _MM_FROUND_TO_NEAREST_INT);
  }
};

}  // namespace
}  // namespace kvasir
