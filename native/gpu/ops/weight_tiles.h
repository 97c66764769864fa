// A lane's share of a tile of weights (weights/layout.h), as f16 pairs for mma or as exact f32.
#pragma once

#include <type_traits>

#include "../context/vocabulary.h"
#include "../weights/layout.h"

namespace kvasir::gpu {

// Scales and minima of a lane's rows g and g + 8.
struct RowScales {
  float scale[2];
  float min[2];
};

// kSteps steps of a tile: all four, or two of them.
template <int kType, int kSteps>
struct TileSteps {
  static constexpr int kBits = tileLayoutOf(kType).bits, kOffset = tileLayoutOf(kType).offset;
  static constexpr bool kFloat = kBits >= 16, kHasMin = tileLayoutOf(kType).hasMin, kSuper = tileLayoutOf(kType).super;
  static constexpr bool kFine = tileLayoutOf(kType).sub == 16;
  static constexpr int kStepWords = tileLayoutOf(kType).stepWords(), kWords = kSteps * kStepWords;
  static constexpr int kHighAt = tileLayoutOf(kType).codeWords(), kScaleAt = tileLayoutOf(kType).scaleAt();

  std::uint32_t codes[kWords];
  std::uint32_t high[2];
  std::uint32_t scales[2];
  std::uint32_t heads[2];

  // `tile`, `head`: words in global or shared memory; `first`: the first step, a multiple of kSteps.
  template <class Cx, class Words>
  KVASIR_DEVICE void load(Cx& cx, Words tile, Words head, int lane, int first) {
    if constexpr (kWords == 2) {
      takePair(cx.load8(tile + 4 * lane + first), codes);
    } else {
      const int vector = first * kStepWords / 4;
      KVASIR_UNROLL
      for (int v = 0; v < kWords / 4; ++v) {
        const Vec16 words = cx.load16(tile + (32 * (vector + v) + lane) * 4);
        KVASIR_UNROLL
        for (int i = 0; i < 4; ++i) codes[4 * v + i] = words.word[i];
      }
    }
    if constexpr (kBits == 5) {
      high[0] = tile[kHighAt + lane];
      high[0] >>= 4 * first;
    }
    if constexpr (kBits == 6) {
      if constexpr (kSteps == 4) takePair(cx.load8(tile + kHighAt + 2 * lane), high);
      else high[0] = tile[kHighAt + 2 * lane + first / 2];
    }
    if constexpr (!kFloat) loadScales(cx, tile, head, lane);
  }

  template <class Cx>
  KVASIR_DEVICE RowScales rowScales(Cx& cx) const {
    RowScales rows = {};
    if constexpr (kSuper) {
      float scale[2], min[2];
      cx.toFloats(heads[0], scale[0], scale[1]);
      if constexpr (kHasMin) cx.toFloats(heads[1], min[0], min[1]);
      KVASIR_UNROLL
      for (int h = 0; h < 2; ++h) {
        const std::uint32_t factor = scales[0] >> (8 * h) & 255;
        rows.scale[h] = scale[h] * (kHasMin ? static_cast<float>(factor) : static_cast<float>(static_cast<std::int8_t>(factor)));
        if constexpr (kHasMin) rows.min[h] = -(min[h] * static_cast<float>(scales[0] >> (16 + 8 * h) & 255));
      }
    } else if constexpr (!kFloat) {
      cx.toFloats(scales[0], rows.scale[0], rows.scale[1]);
      if constexpr (kHasMin) cx.toFloats(scales[1], rows.min[0], rows.min[1]);
    }
    return rows;
  }

  // Pair i of step s as f32, to the bit what the format defines.
  template <class Cx>
  KVASIR_DEVICE void floats(Cx& cx, const RowScales& rows, int s, int i, float& first, float& second) const {
    if constexpr (kBits == 32) {
      first = cx.asFloat(codes[8 * s + 2 * i]);
      second = cx.asFloat(codes[8 * s + 2 * i + 1]);
    } else if constexpr (kType == KVASIR_WEIGHT_BF16) {
      first = cx.asFloat(codes[4 * s + i] << 16);
      second = cx.asFloat(codes[4 * s + i] & 0xffff0000u);
    } else if constexpr (kFloat) {
      cx.toFloats(codes[4 * s + i], first, second);
    } else {
      const std::uint32_t pair = codePair(s, i);
      first = value(cx, rows, i % 2, pair & 0xffffu);
      second = value(cx, rows, i % 2, pair >> 16);
    }
  }

  // Pair i of step s rounded to f16, from scales and minima as f16 twice in a word.
  template <class Cx>
  KVASIR_DEVICE std::uint32_t halves(Cx& cx, const std::uint32_t (&scale)[2], const std::uint32_t (&min)[2], int s, int i) const {
    if constexpr (kFloat && kType != KVASIR_WEIGHT_F16) {
      float first, second;
      floats(cx, RowScales{}, s, i, first, second);
      return cx.toHalves(first, second);
    } else if constexpr (kFloat) {
      return codes[4 * s + i];
    } else {
      // 0x6400 | code is 1024 + code; taking off 1024 + offset is exact.
      constexpr std::uint32_t kBase = 0xe400u + kOffset;
      const std::uint32_t code = cx.addHalves(codePair(s, i) | 0x64006400u, kBase << 16 | kBase);
      if constexpr (kHasMin) return cx.fmaHalves(code, scale[i % 2], min[i % 2]);
      else return cx.multiplyHalves(code, scale[i % 2]);
    }
  }

 private:
  KVASIR_DEVICE static void takePair(const Vec8& pair, std::uint32_t* words) {
    words[0] = pair.word[0];
    words[1] = pair.word[1];
  }

  template <class Cx, class Words>
  KVASIR_DEVICE void loadScales(Cx& cx, Words tile, Words head, int lane) {
    const int g = lane / 4, t = lane % 4, entry = (kFine ? t : t / 2) * 8 + g;
    if constexpr (kSuper == kHasMin) {
      scales[0] = tile[kScaleAt + entry];
    } else if constexpr (kHasMin) {
      takePair(cx.load8(tile + kScaleAt + 2 * entry), scales);
    } else {
      scales[0] = tile[kScaleAt + entry / 2];
      scales[0] >>= entry % 2 * 16;
    }
    if constexpr (kSuper && kHasMin) takePair(cx.load8(head + 2 * g), heads);
    if constexpr (kSuper && !kHasMin) heads[0] = head[g];
  }

  // Codes of pair i of step s in the halves of a word.
  KVASIR_DEVICE std::uint32_t codePair(int s, int i) const {
    if constexpr (kBits == 8) return codes[2 * s + i / 2] >> (8 * (i % 2)) & 0x00ff00ffu;
    const std::uint32_t low = codes[s] >> (4 * i) & 0x000f000fu;
    if constexpr (kBits == 5) return low | (high[0] >> (4 * s + i) & 0x00010001u) << 4;
    if constexpr (kBits == 6) return low | (high[s / 2] >> (2 * (4 * (s % 2) + i)) & 0x00030003u) << 4;
    return low;
  }

  template <class Cx>
  KVASIR_DEVICE static float value(Cx& cx, const RowScales& rows, int h, std::uint32_t code) {
    // 0x4b000000 | code is 2^23 + code.
    const float scaled = rows.scale[h] * (cx.asFloat(0x4b000000u | code) - static_cast<float>((1 << 23) + kOffset));
    return kHasMin ? scaled + rows.min[h] : scaled;
  }
};

// Calls body with the stored type as a constant, on the host or on a device.
#if defined(__CUDACC__)
#pragma nv_exec_check_disable
#endif
template <class Body>
KVASIR_BOTH auto withStoredType(int stored, const Body& body) {
  switch (stored) {
    case KVASIR_WEIGHT_F32: return body(std::integral_constant<int, KVASIR_WEIGHT_F32>());
    case KVASIR_WEIGHT_F16: return body(std::integral_constant<int, KVASIR_WEIGHT_F16>());
    case KVASIR_WEIGHT_BF16: return body(std::integral_constant<int, KVASIR_WEIGHT_BF16>());
    case KVASIR_WEIGHT_Q4_0: return body(std::integral_constant<int, KVASIR_WEIGHT_Q4_0>());
    case KVASIR_WEIGHT_Q4_1: return body(std::integral_constant<int, KVASIR_WEIGHT_Q4_1>());
    case KVASIR_WEIGHT_Q5_0: return body(std::integral_constant<int, KVASIR_WEIGHT_Q5_0>());
    case KVASIR_WEIGHT_Q5_1: return body(std::integral_constant<int, KVASIR_WEIGHT_Q5_1>());
    case KVASIR_WEIGHT_Q2_K: return body(std::integral_constant<int, KVASIR_WEIGHT_Q2_K>());
    case KVASIR_WEIGHT_Q4_K: return body(std::integral_constant<int, KVASIR_WEIGHT_Q4_K>());
    case KVASIR_WEIGHT_Q5_K: return body(std::integral_constant<int, KVASIR_WEIGHT_Q5_K>());
    case KVASIR_WEIGHT_Q6_K: return body(std::integral_constant<int, KVASIR_WEIGHT_Q6_K>());
    default: return body(std::integral_constant<int, KVASIR_WEIGHT_Q8_0>());
  }
}

}  // namespace kvasir::gpu
