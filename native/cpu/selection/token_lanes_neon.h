// Four tokens, a lane of 32 bits each; see token_lanes_avx512.h.
#pragma once

#include <arm_neon.h>

#include <cstdint>
#include <cstring>

namespace kvasir::selection {
namespace {

struct TokenLanesNeon {
  using I = int32x4_t;
  static I zero() { return vdupq_n_s32(0); }
  static I load(const std::uint8_t* codes) { return vreinterpretq_s32_u8(vld1q_u8(codes)); }
  template <int kBits>
  static void expand(I codes, I* x) {
    const uint8x16_t mask = vdupq_n_u8((1 << kBits) - 1);
    for (int n = 0; n < 8 / kBits; ++n) {
      const uint8x16_t shifted = vshlq_u8(vreinterpretq_u8_s32(codes), vdupq_n_s8(static_cast<std::int8_t>(-n * kBits)));
      x[n] = vreinterpretq_s32_u8(vandq_u8(shifted, mask));
    }
  }
  static I broadcast(const std::int8_t* weights) {
    std::int32_t four;
    std::memcpy(&four, weights, 4);
    return vdupq_n_s32(four);
  }
  template <int kQuads>
  static I addDots(I sum, const I* x, const I* weights) {
    for (int n = 0; n < kQuads; ++n) {
      const int8x16_t w = vreinterpretq_s8_s32(weights[n]), codes = vreinterpretq_s8_s32(x[n]);
      const int16x8_t low = vmull_s8(vget_low_s8(codes), vget_low_s8(w));
      const int16x8_t high = vmull_s8(vget_high_s8(codes), vget_high_s8(w));
      sum = vpadalq_s16(sum, vpaddq_s16(low, high));
    }
    return sum;
  }
  static float32x4_t toFloats(I sums) { return vcvtq_f32_s32(sums); }
  static float32x4_t spread(const float* base, const std::uint8_t* places) {
    const float four[4] = {base[places[0]], base[places[1]], base[places[2]], base[places[3]]};
    return vld1q_f32(four);
  }
};

}  // namespace
}  // namespace kvasir::selection
