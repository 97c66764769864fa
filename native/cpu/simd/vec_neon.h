// Four float lanes on AArch64 NEON; see vec_avx512.h for what the names promise.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace kvasir {
namespace {

struct Vec {
  using F = float32x4_t;
  using I = int32x4_t;
  using M = uint32x4_t;
  static constexpr int kLanes = 4;
  static constexpr int kTileRows = 8;
  static constexpr int kTileVecs = 3;
  static constexpr int kRunHeads = 4;

  static F zero() { return vdupq_n_f32(0.0f); }
  static F set(float x) { return vdupq_n_f32(x); }
  static F load(const float* p) { return vld1q_f32(p); }
  static F load(const std::uint16_t* p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
  template <class T>
  static F loadPart(const T* p, int n) {
    T row[kLanes] = {};
    for (int i = 0; i < n; ++i) row[i] = p[i];
    return load(row);
  }
  static void store(float* p, F x) { vst1q_f32(p, x); }
  static void store(std::uint16_t* p, F x) { vst1_u16(p, narrow(x)); }
  template <class T>
  static void storePart(T* p, F x, int n) {
    T row[kLanes];
    store(row, x);
    for (int i = 0; i < n; ++i) p[i] = row[i];
  }

  static F add(F a, F b) { return vaddq_f32(a, b); }
  static F sub(F a, F b) { return vsubq_f32(a, b); }
  static F mul(F a, F b) { return vmulq_f32(a, b); }
  static F div(F a, F b) { return vdivq_f32(a, b); }
  static F max(F a, F b) { return vmaxq_f32(a, b); }
  static F fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }
  static F abs(F a) { return vabsq_f32(a); }
  static F round(F a) { return vrndnq_f32(a); }

  static I setInt(std::int32_t x) { return vdupq_n_s32(x); }
  static I loadInt(const std::int32_t* p) { return vld1q_s32(p); }
  static M lessEqual(I a, I b) { return vcleq_s32(a, b); }
  static M both(M a, M b) { return vandq_u32(a, b); }
  static M equal(F a, F b) { return vceqq_f32(a, b); }
  static M negative(F a) { return vcltq_f32(a, zero()); }
  static F select(M m, F yes, F no) { return vbslq_f32(m, yes, no); }
  static F fmaWhere(M m, F a, F b, F c) { return select(m, fma(a, b, c), c); }

  static F scalePow2(F p, F n) {
    const I exponent = vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n), setInt(127)), 23);
    const M tooSmall = vcltq_f32(n, set(-126.0f));
    return select(tooSmall, zero(), mul(p, vreinterpretq_f32_s32(exponent)));
  }

  static float sum(F x) { return vaddvq_f32(x); }
  static float maxLane(F x) { return vmaxvq_f32(x); }

  static F sumRows4(F a, F b, F c, F d) { return vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)); }
  static F finishSums(const F* quads) { return quads[0]; }

  static void loadPairs(const std::uint16_t* p, F& a, F& b) {
    const uint16x4x2_t apart = vld2_u16(p);
    a = vcvt_f32_f16(vreinterpret_f16_u16(apart.val[0]));
    b = vcvt_f32_f16(vreinterpret_f16_u16(apart.val[1]));
  }
  static void storePairs(std::uint16_t* p, F a, F b) { vst2_u16(p, uint16x4x2_t{{narrow(a), narrow(b)}}); }

  // There are no stores past the caches here.
  static void streamPairs(std::uint16_t* p, F a, F b) { storePairs(p, a, b); }
  static void stream(std::uint16_t* p, F x) { store(p, x); }
  static void streamLine(std::uint8_t* to, const std::uint8_t* from) { std::memcpy(to, from, 64); }
  static void settle() {}

  static void prefetch(const void* p) { __builtin_prefetch(p); }

 private:
  static uint16x4_t narrow(F x) {
    // The compares are false for NaN, which therefore passes.
    x = vbslq_f32(vcgtq_f32(x, set(65504.0f)), set(65504.0f), x);
    x = vbslq_f32(vcltq_f32(x, set(-65504.0f)), set(-65504.0f), x);
    return vreinterpret_u16_f16(vcvt_f16_f32(x));
  }
};

}  // namespace
}  // namespace kvasir
