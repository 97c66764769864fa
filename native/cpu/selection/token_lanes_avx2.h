// Eight tokens, a lane of 32 bits each; see token_lanes_avx512.h.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace kvasir::selection {
namespace {

struct TokenLanes256 {
  using I = __m256i;
  static I zero() { return _mm256_setzero_si256(); }
  static I load(const std::uint8_t* codes) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes)); }
  template <int kBits>
  static void expand(I codes, I* x) {
    const I mask = _mm256_set1_epi8((1 << kBits) - 1);
    x[0] = _mm256_and_si256(codes, mask);
    for (int n = 1; n < 8 / kBits; ++n) x[n] = _mm256_and_si256(_mm256_srli_epi16(codes, n * kBits), mask);
  }
  static I broadcast(const std::int8_t* weights) {
    std::int32_t four;
    std::memcpy(&four, weights, 4);
    return _mm256_set1_epi32(four);
  }
  template <int kQuads>
  static I addDots(I sum, const I* x, const I* weights) {
    // At most 2 * 15 * 127 twice, 2 * 3 * 127 four times or 2 * 127 eight times: no 16-bit sum overflows.
    I pairs = _mm256_setzero_si256();
    for (int n = 0; n < kQuads; ++n) pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(x[n], weights[n]));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  static __m256 toFloats(I sums) { return _mm256_cvtepi32_ps(sums); }
  static __m256 spread(const float* base, const std::uint8_t* places) {
    const I lanes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(places)));
    const __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(base), lanes);
    const __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(base + 8), lanes);
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_cmpgt_epi32(lanes, _mm256_set1_epi32(7))));
  }
};

}  // namespace
}  // namespace kvasir::selection
