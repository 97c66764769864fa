// Two 64-bit words on AArch64 NEON; see words_avx512.h.
#pragma once

#include "../simd/vec_neon.h"

namespace kvasir::lsh {
namespace {

struct Words {
  using V = uint64x2_t;
  // 24 accumulators of 32 registers.
  static constexpr int kHashRows = 6;
  static constexpr int kHashVecs = 4;

  static std::uint32_t notNegative(Vec::F x) {
    const std::uint32_t places[4] = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(vcgezq_f32(x), vld1q_u32(places)));
  }

  static V zero() { return vdupq_n_u64(0); }
  static V set(std::uint64_t x) { return vdupq_n_u64(x); }
  static V load(const std::uint64_t* p) { return vld1q_u64(p); }
  static V addWords(V a, V b) { return vaddq_u64(a, b); }
  static void store(std::uint64_t* p, V x) { vst1q_u64(p, x); }
  static V smaller(V a, V b) { return vbslq_u64(vcltq_u64(a, b), a, b); }
  static V larger(V a, V b) { return vbslq_u64(vcltq_u64(a, b), b, a); }
  static V shifted(V previous, V own) { return vextq_u64(previous, own, 1); }
  static V upper(V a) { return vshlq_n_u64(a, 32); }

  // As four 32-bit numbers.
  static int32x4_t ints(V x) { return vreinterpretq_s32_u64(x); }
  static V words(int32x4_t x) { return vreinterpretq_u64_s32(x); }
  static V setInts(std::int32_t x) { return words(vdupq_n_s32(x)); }
  static V loadInts(const std::int32_t* p) { return words(vld1q_s32(p)); }
  static void storeInts(std::int32_t* p, V x) { vst1q_s32(p, ints(x)); }
  static V smallerInts(V a, V b) { return words(vminq_s32(ints(a), ints(b))); }
  static unsigned belowInts(V a, V limit) {
    const std::uint32_t places[4] = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(vcltq_s32(ints(a), ints(limit)), vld1q_u32(places)));
  }
  static V countBelow(V counts, V a, V limit) {
    return words(vsubq_s32(ints(counts), vreinterpretq_s32_u32(vcltq_s32(ints(a), ints(limit)))));
  }

  static uint8x16_t bytes(V x) { return vreinterpretq_u8_u64(x); }
  static V sumBytes(uint8x16_t x) { return vpaddlq_u32(vpaddlq_u16(vpaddlq_u8(x))); }

  struct Hamming {
    static V add(V sum, V a, V b) { return vreinterpretq_u64_u8(vaddq_u8(bytes(sum), vcntq_u8(bytes(veorq_u64(a, b))))); }
    static V total(V sum) { return sumBytes(bytes(sum)); }
  };

  struct L1 {
    static V add(V sum, V a, V b) { return vaddq_u64(sum, sumBytes(vabdq_u8(bytes(a), bytes(b)))); }
    static V total(V sum) { return sum; }
  };
};

}  // namespace
}  // namespace kvasir::lsh
