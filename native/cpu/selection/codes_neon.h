// Code kernels in plain loops, four lanes wide: for NEON, where compilers vectorise them.
#pragma once

#include <arm_neon.h>

#include <cstring>

#include "folded.h"
#include "layout.h"

namespace kvasir::selection {
namespace {

struct CodesPlain {
  static float32x4_t loadBytes(const std::uint8_t* p) {
    const float four[4] = {static_cast<float>(p[0]), static_cast<float>(p[1]), static_cast<float>(p[2]),
                           static_cast<float>(p[3])};
    return vld1q_f32(four);
  }
  static float32x4_t loadSigned(const std::int8_t* p) {
    const float four[4] = {static_cast<float>(p[0]), static_cast<float>(p[1]), static_cast<float>(p[2]),
                           static_cast<float>(p[3])};
    return vld1q_f32(four);
  }
  // Deviations of channels from i on: the low or the high four bits of four bytes.
  static float32x4_t loadNibbles(const std::uint8_t* p, int i) {
    std::uint8_t four[4];
    for (int n = 0; n < 4; ++n) {
      const std::uint8_t both = p[i / 16 * 8 + i % 8 + n];
      four[n] = kDeviations[i % 16 < 8 ? both & 15 : both >> 4];
    }
    return loadBytes(four);
  }
  static void storeRounded(std::int8_t* p, float32x4_t x) {
    float four[4];
    vst1q_f32(four, vrndnq_f32(x));
    for (int i = 0; i < 4; ++i) p[i] = static_cast<std::int8_t>(four[i]);
  }

  static float32x4_t maxRows4(float32x4_t a, float32x4_t b, float32x4_t c, float32x4_t d) {
    return vpmaxq_f32(vpmaxq_f32(a, b), vpmaxq_f32(c, d));
  }

  static int storeKeysBetween(const float* values, std::int32_t low, std::int32_t high, std::int32_t first,
                              std::int32_t* out) {
    std::int32_t keys[4];
    std::memcpy(keys, values, sizeof keys);
    int count = 0;
    for (int i = 0; i < 4; ++i) {
      if (keys[i] >= low && keys[i] <= high) out[count++] = first + i;
    }
    return count;
  }
  using Counter = int32x4_t;
  static Counter noCount() { return vdupq_n_s32(0); }
  static Counter countFrom(Counter counter, const float* values, std::int32_t probe) {
    const uint32x4_t found = vcgeq_s32(vreinterpretq_s32_f32(vld1q_f32(values)), vdupq_n_s32(probe));
    return vsubq_s32(counter, vreinterpretq_s32_u32(found));
  }
  static std::int32_t total(Counter counter) { return vaddvq_s32(counter); }

  template <int kBits>
  static void zeroSums(const std::int8_t* weights, int units, std::int32_t* out) {
    out[0] = 0;
    for (int i = 0; i < units * kUnitChannels; ++i) out[0] -= codeScale(kBits).zero * weights[i];
  }

  template <int kBits, int kHeads>
  static void estimateBlock(const std::uint8_t* codes, std::size_t planeBytes, int units, const FoldedSegment& folded,
                            int weightStride, int count, float* out, std::size_t outStride) {
    constexpr int kRow = 8 * kBits;
    constexpr int kTerms = 8 / kBits;
    for (int token = 0; token < count; ++token) {
      int total[kHeads];
      for (int h = 0; h < kHeads; ++h) total[h] = folded.zeroSums[h * kZeroSums];
      for (int unit = 0; unit < units; ++unit) {
        const std::uint8_t* row =
            codes + static_cast<std::size_t>(unit) * planeBytes + static_cast<std::size_t>(token) * kRow;
        std::int8_t steps[kUnitChannels];
        for (int k = 0; k < kTerms; ++k) {
          for (int b = 0; b < kRow; ++b) {
            const int code = row[b] >> (k * kBits) & ((1 << kBits) - 1);
            // 0 7 13 20 or 0 2 without a table.
            const int step = kBits == 4 ? kSteps4[code] : kBits == 2 ? 7 * code - (code >> 1) : 2 * code;
            steps[k * kRow + b] = static_cast<std::int8_t>(step);
          }
        }
        for (int h = 0; h < kHeads; ++h) {
          const std::int8_t* w = folded.weights + h * weightStride + unit * kUnitChannels;
          int sum = 0;
          for (int i = 0; i < kUnitChannels; ++i) sum += steps[i] * w[i];
          total[h] += sum;
        }
      }
      for (int h = 0; h < kHeads; ++h) {
        out[static_cast<std::size_t>(h) * outStride + static_cast<std::size_t>(token)] =
            folded.base[h] + folded.slope[h] * static_cast<float>(total[h]);
      }
    }
  }
};

}  // namespace
}  // namespace kvasir::selection
