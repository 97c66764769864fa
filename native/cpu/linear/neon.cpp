#include <arm_neon.h>

#include "simd_table.h"

namespace kvasir::lin {
namespace {

// 4 lanes of AArch64's base vectors; the dot product extension where the compiler may use it.
struct Neon {
  using F = float32x4_t;
  using I = int32x4_t;
  static constexpr int lanes = 4;
  static constexpr int panelGroups = 1;
  static constexpr int tileRowsFloat = 6;
  static constexpr int tileRowsByte = 3;
  static constexpr int decodeRowsFloat = 2;
  static constexpr int decodeRowsExact = 2;
  static constexpr int decodeRowsFast = 4;
  static constexpr int wideOffsetBits = 0;  // dot<true> takes the 128 off itself

  static F zero() { return vdupq_n_f32(0); }
  static F broadcast(float x) { return vdupq_n_f32(x); }
  static F add(F a, F b) { return vaddq_f32(a, b); }
  static F mul(F a, F b) { return vmulq_f32(a, b); }
  static F fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }
  static F negate(F a) { return vnegq_f32(a); }
  static F toFloat(I a) { return vcvtq_f32_s32(a); }

  static F loadFloats(const void* p) { return vld1q_f32(static_cast<const float*>(p)); }
  static F loadHalves(const std::uint8_t* p) { return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p))); }
  static F loadBfloats(const std::uint8_t* p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16));
  }
  static F loadUnsigned(const std::uint8_t* p) { return vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(four(p))))); }
  static F loadSigned(const std::uint8_t* p) {
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(four(p))))));
  }
  static void storeFloats(float* p, F a) { vst1q_f32(p, a); }
  static void prefetch(const void* p) { __builtin_prefetch(p); }

  static I zeroInts() { return vdupq_n_s32(0); }
  static I broadcastInt(int x) { return vdupq_n_s32(x); }
  static I broadcastFour(const std::int8_t* p) {
    int value;
    __builtin_memcpy(&value, p, 4);
    return vdupq_n_s32(value);
  }
  static I loadBytes(const std::uint8_t* p) { return vreinterpretq_s32_u8(vld1q_u8(p)); }
  static void storeBytes(std::uint8_t* p, I a) { vst1q_u8(p, vreinterpretq_u8_s32(a)); }
  static I orBytes(I a, I b) { return vorrq_s32(a, b); }
  static I subtractBytes(I a, int b) {
    return vreinterpretq_s32_u8(vsubq_u8(vreinterpretq_u8_s32(a), vdupq_n_u8(static_cast<std::uint8_t>(b))));
  }

  // (a >> Right) & Mask in every byte; a negative Right shifts left.
  template <int Right, int Mask>
  static I keep(I a) {
    uint8x16_t bytes = vreinterpretq_u8_s32(a);
    if constexpr (Right > 0) bytes = vshrq_n_u8(bytes, Right);
    if constexpr (Right < 0) bytes = vshlq_n_u8(bytes, -Right);
    return vreinterpretq_s32_u8(vandq_u8(bytes, vdupq_n_u8(Mask)));
  }

  template <int Byte>
  static I unsignedByte(I a) {
    uint32x4_t lanes32 = vreinterpretq_u32_s32(a);
    if constexpr (Byte > 0) lanes32 = vshrq_n_u32(lanes32, 8 * Byte);
    return vreinterpretq_s32_u32(vandq_u32(lanes32, vdupq_n_u32(255)));
  }
  template <int Byte>
  static I signedByte(I a) {
    if constexpr (Byte < 3) a = vshlq_n_s32(a, 24 - 8 * Byte);
    return vshrq_n_s32(a, 24);
  }

  // sum + products of four codes and four signed activations in each lane. Codes under 128 are signed bytes as they
  // stand; Wide: full bytes, made signed by taking 128 off.
  template <bool Wide>
  static I dot(I sum, I codes, I x) {
    int8x16_t weights = vreinterpretq_s8_s32(codes);
    if constexpr (Wide) weights = veorq_s8(weights, vdupq_n_s8(-128));
    const int8x16_t values = vreinterpretq_s8_s32(x);
#if defined(__ARM_FEATURE_DOTPROD)
    return vdotq_s32(sum, weights, values);
#else
    const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(weights), vget_low_s8(values)));
    const int32x4_t high = vpaddlq_s16(vmull_high_s8(weights, values));
    return vaddq_s32(sum, vpaddq_s32(low, high));
#endif
  }

  static I magnitudeBits(F a) { return vreinterpretq_s32_f32(vabsq_f32(a)); }
  static I maxInts(I a, I b) { return vmaxq_s32(a, b); }
  static int maxLane(I a) { return vmaxvq_s32(a); }
  static I roundToInts(F a) { return vcvtnq_s32_f32(a); }  // to nearest, ties to even
  static I addInts(I a, I b) { return vaddq_s32(a, b); }
  static I subtractInts(I a, I b) { return vsubq_s32(a, b); }
  static I shiftLeft(I a, int bits) { return vshlq_s32(a, vdupq_n_s32(bits)); }
  static I shiftRight8(I a) { return vshrq_n_s32(a, 8); }
  static void storeLowBytes(std::int8_t* p, I a) {
    const int16x4_t narrow = vmovn_s32(a);
    const int8x8_t bytes = vmovn_s16(vcombine_s16(narrow, narrow));
    vst1_lane_s32(reinterpret_cast<std::int32_t*>(p), vreinterpret_s32_s8(bytes), 0);
  }
  static int sumBytes16(const std::int8_t* p) { return vaddlvq_s8(vld1q_s8(p)); }

 private:
  static uint8x8_t four(const std::uint8_t* p) {
    std::uint32_t value;
    __builtin_memcpy(&value, p, 4);
    return vreinterpret_u8_u32(vdup_n_u32(value));
  }
};

}  // namespace

const FloatKernels neonFloats = floatKernels<Neon>;
const ByteKernels neonBytes = byteKernels<Neon>;

}  // namespace kvasir::lin
