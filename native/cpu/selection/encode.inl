// Statistics and codes of one segment, on any row loader. Plain loops over channels, each channel by itself and without
// contraction, so that compilers vectorise them and every instruction set gives the same bits.
#pragma once

#include <cstring>

#include "../simd/half.h"
#include "kernels.h"
#include "layout.h"

namespace kvasir::selection {
namespace {

// To the nearest whole number, ties to even; |x| < 2^22.
inline float nearest(float x) { return (x + 0x1.8p23f) - 0x1.8p23f; }

inline const std::uint8_t* keyRow(const HeadKeys& keys, int token) {
  const std::size_t elementBytes = keys.type == KvType::f32 ? 4 : 2;
  return keys.base + static_cast<std::size_t>(keys.pages[token / kPageTokens]) * keys.pageStride +
         static_cast<std::size_t>(token % kPageTokens) * static_cast<std::size_t>(keys.headDim) * elementBytes;
}

// Up to the next float16, infinity beyond the largest.
inline std::uint16_t halfAbove(float x) {
  if (x > 65504.0f) return 0x7c00;
  const std::uint16_t half = floatToHalf(x);
  return static_cast<std::uint16_t>(half + (halfToFloat(half) < x ? 1 : 0));
}

// Codes of one unit's 64 residuals, packed; the residuals become the levels that the codes stand for.
inline void packCodes(float* residual, int codeBits, std::uint8_t* row) {
  std::uint8_t code[kUnitChannels];
  for (int i = 0; i < kUnitChannels; ++i) code[i] = residual[i] >= 0.0f ? 1 : 0;
  const auto count = [&](float threshold) {
    for (int i = 0; i < kUnitChannels; ++i) {
      const float r = residual[i];
      code[i] = static_cast<std::uint8_t>(code[i] + (r >= threshold ? 1 : 0) + (r >= -threshold ? 1 : 0));
    }
  };
  if (codeBits == 2) count(kThreshold2);
  if (codeBits == 4) {
    for (const float threshold : kThresholds4) count(threshold);
  }
  const int rowLength = rowBytes(codeBits), perByte = 8 / codeBits;
  for (int b = 0; b < rowLength; ++b) {
    unsigned bits = 0;
    for (int k = 0; k < perByte; ++k) bits |= static_cast<unsigned>(code[b + rowLength * k]) << (k * codeBits);
    row[b] = static_cast<std::uint8_t>(bits);
  }
  const CodeScale scale = codeScale(codeBits);
  float levels[16];
  for (int c = 0; c < 1 << codeBits; ++c) levels[c] = scale.unit * static_cast<float>(codeStep(codeBits, c) - scale.zero);
  for (int i = 0; i < kUnitChannels; ++i) residual[i] = levels[code[i]];
}

// Number of the entry of kDeviations that is nearest in ratio.
inline int deviationCode(float level) {
  constexpr float edges[15] = {214.2f, 151.8f, 107.3f, 75.9f, 53.7f, 38.0f, 27.1f, 19.2f,
                               13.3f,  9.38f,  6.93f,  4.9f,  3.46f, 2.45f, 1.0f};
  int code = 0;
  for (const float edge : edges) code += level < edge ? 1 : 0;
  return code;
}

// Writes mean and deviation as the index holds them, and replaces both by what estimates will read.
inline void storeVectors(const EncodeTask& task, float* mean, float* deviation, StatsTail& tail) {
  const int dim = task.keys.headDim;
  float largest = 0.0f, farthest = 0.0f;
  for (int i = 0; i < dim; ++i) {
    largest = deviation[i] > largest ? deviation[i] : largest;
    farthest = __builtin_fabsf(mean[i]) > farthest ? __builtin_fabsf(mean[i]) : farthest;
  }
  tail.deviationStep = floatToHalf(largest / 255.0f);
  tail.meanStep = task.vectorBits == 8 && farthest > 0.0f ? halfAbove(farthest / 127.0f) : 0;
  const float step = halfToFloat(tail.deviationStep), meanStep = halfToFloat(tail.meanStep);
  std::uint8_t* means = task.stats;
  std::uint8_t* deviations = task.stats + meanBytes(dim, task.vectorBits);
  for (int i = 0; i < dim; ++i) {
    float level = step > 0.0f ? deviation[i] / step : 0.0f;
    if (task.vectorBits == 16) {
      const std::uint16_t half = floatToHalf(mean[i]);
      std::memcpy(means + 2 * i, &half, 2);
      mean[i] = halfToFloat(half);
      level = level > 255.0f ? 255.0f : nearest(level);
      deviations[i] = static_cast<std::uint8_t>(level);
    } else {
      const float whole = meanStep > 0.0f ? nearest(mean[i] / meanStep) : 0.0f;
      means[i] = static_cast<std::uint8_t>(static_cast<std::int8_t>(whole));
      mean[i] = whole * meanStep;
      const int code = deviationCode(level);
      deviations[i / 16 * 8 + i % 8] |= static_cast<std::uint8_t>(code << (i / 8 % 2 * 4));
      level = static_cast<float>(kDeviations[code]);
    }
    deviation[i] = level * step;
  }
}

// loadRow(row, type, dim, out) writes a K row as float32.
template <class LoadRow>
void encodeSegment(const EncodeTask& task, LoadRow loadRow) {
  const int dim = task.keys.headDim;
  alignas(64) float row[kMaxSelectHeadDim] = {};
  alignas(64) float mean[kMaxSelectHeadDim] = {};
  alignas(64) float deviation[kMaxSelectHeadDim] = {};
  const auto load = [&](int token) { loadRow(keyRow(task.keys, token), task.keys.type, dim, row); };
  const float count = static_cast<float>(task.end - task.start);

  for (int token = task.start; token < task.end; ++token) {
    load(token);
    for (int i = 0; i < dim; ++i) mean[i] += row[i];
  }
  for (int i = 0; i < dim; ++i) mean[i] /= count;
  for (int token = task.start; token < task.end; ++token) {
    load(token);
    for (int i = 0; i < dim; ++i) deviation[i] += (row[i] - mean[i]) * (row[i] - mean[i]);
  }
  for (int i = 0; i < dim; ++i) deviation[i] = __builtin_sqrtf(deviation[i] / count);

  // From here on mean and deviation are what the index holds, so that codes are relative to what estimates read.
  StatsTail tail;
  std::memset(task.stats, 0, statBytes(dim, task.vectorBits));
  storeVectors(task, mean, deviation, tail);

  alignas(64) float level[kMaxSelectHeadDim] = {};
  float radius = 0.0f;
  for (int token = task.start; token < task.end; ++token) {
    load(token);
    if (task.codeBits > 0) {
      // A channel without deviation has no code: estimates weigh it with 0.
      for (int i = 0; i < dim; ++i) level[i] = deviation[i] > 0.0f ? (row[i] - mean[i]) / deviation[i] : 0.0f;
      std::uint8_t* codes =
          task.codes + static_cast<std::size_t>(token - task.start) * static_cast<std::size_t>(rowBytes(task.codeBits));
      for (int unit = 0; unit < codeUnits(dim); ++unit) {
        packCodes(level + unit * kUnitChannels, task.codeBits, codes + static_cast<std::size_t>(unit) * task.planeBytes);
      }
    }
    // In sixteen sums, so that every instruction set adds in the same order.
    float sums[16] = {};
    for (int i = 0; i < statDim(dim); i += 16) {
      for (int k = 0; k < 16; ++k) {
        const float distance = row[i + k] - mean[i + k] - deviation[i + k] * level[i + k];
        sums[k] += distance * distance;
      }
    }
    float total = 0.0f;
    for (const float sum : sums) total += sum;
    radius = total > radius ? total : radius;
  }
  tail.radius = halfAbove(__builtin_sqrtf(radius) * 1.00001f);
  std::memcpy(task.stats + statBytes(dim, task.vectorBits) - sizeof tail, &tail, sizeof tail);
}

}  // namespace
}  // namespace kvasir::selection
