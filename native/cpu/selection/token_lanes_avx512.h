// Sixteen tokens, a lane of 32 bits each; the names are those of every `TokenLanes`.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace kvasir::selection {
namespace {

template <class Dots>
struct TokenLanes512 {
  using I = __m512i;
  static I zero() { return _mm512_setzero_si512(); }
  static I load(const std::uint8_t* codes) { return _mm512_loadu_si512(codes); }
  // Byte b of x[n]: code 4 n + b of the lane.
  template <int kBits>
  static void expand(I codes, I* x) {
    const I mask = _mm512_set1_epi8((1 << kBits) - 1);
    x[0] = _mm512_and_si512(codes, mask);
    for (int n = 1; n < 8 / kBits; ++n) x[n] = _mm512_and_si512(_mm512_srli_epi16(codes, static_cast<unsigned>(n * kBits)), mask);
  }
  // Four weights in every lane.
  static I broadcast(const std::int8_t* weights) {
    std::int32_t four;
    std::memcpy(&four, weights, 4);
    return _mm512_set1_epi32(four);
  }
  // sum + the products of each lane's codes with the same weights.
  template <int kQuads>
  static I addDots(I sum, const I* x, const I* weights) {
    return Dots::template add<kQuads>(sum, x, weights);
  }
  static __m512 toFloats(I sums) { return _mm512_cvtepi32_ps(sums); }
  // base[places[lane]], places below 16.
  static __m512 spread(const float* base, const std::uint8_t* places) {
    const I lanes = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(places)));
    return _mm512_permutexvar_ps(lanes, _mm512_loadu_ps(base));
  }
};

}  // namespace
}  // namespace kvasir::selection
