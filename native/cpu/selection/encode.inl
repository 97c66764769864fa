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

// Codes of one unit's 64 residuals, packed.
inline void packCodes(const float* residual, int codeBits, std::uint8_t* row) {
  std::uint8_t code[kUnitChannels];
  if (codeBits == 2) {
    for (int i = 0; i < kUnitChannels; ++i) {
      const float r = residual[i];
      code[i] = static_cast<std::uint8_t>((r >= -kThreshold ? 1 : 0) + (r >= 0.0f ? 1 : 0) + (r >= kThreshold ? 1 : 0));
    }
    for (int b = 0; b < 16; ++b) {
      row[b] = static_cast<std::uint8_t>(code[b] | code[b + 16] << 2 | code[b + 32] << 4 | code[b + 48] << 6);
    }
  } else {
    for (int i = 0; i < kUnitChannels; ++i) code[i] = residual[i] >= 0.0f ? 1 : 0;
    for (int b = 0; b < 8; ++b) {
      unsigned bits = 0;
      for (int k = 0; k < 8; ++k) bits |= static_cast<unsigned>(code[b + 8 * k]) << k;
      row[b] = static_cast<std::uint8_t>(bits);
    }
  }
}

// loadRow(row, type, dim, out) writes a K row as float32.
template <class LoadRow>
void encodeSegment(const EncodeTask& task, LoadRow loadRow) {
  const int dim = task.keys.headDim;
  const int paddedDim = statDim(dim);
  alignas(64) float row[kMaxSelectHeadDim];
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
  float largest = 0.0f;
  for (int i = 0; i < dim; ++i) {
    deviation[i] = __builtin_sqrtf(deviation[i] / count);
    largest = deviation[i] > largest ? deviation[i] : largest;
  }

  // From here on mean and deviation are what the index holds, so that codes are relative to what estimates read.
  const float step = largest / 255.0f;
  std::uint8_t* deviationBytes = task.stats + static_cast<std::size_t>(paddedDim) * 2;
  std::memset(task.stats, 0, statBytes(dim));
  for (int i = 0; i < dim; ++i) {
    const std::uint16_t half = floatToHalf(mean[i]);
    std::memcpy(task.stats + 2 * i, &half, 2);
    mean[i] = halfToFloat(half);
    const float level = step > 0.0f ? nearest(deviation[i] / step) : 0.0f;
    deviationBytes[i] = static_cast<std::uint8_t>(level);
    deviation[i] = level * step;
  }
  std::memcpy(deviationBytes + paddedDim, &step, 4);

  alignas(64) float residual[kMaxSelectHeadDim] = {};
  for (int token = task.start; token < task.end; ++token) {
    load(token);
    // A channel without deviation has no code: estimates weigh it with 0.
    for (int i = 0; i < dim; ++i) residual[i] = deviation[i] > 0.0f ? (row[i] - mean[i]) / deviation[i] : 0.0f;
    std::uint8_t* codes =
        task.codes + static_cast<std::size_t>(token - task.start) * static_cast<std::size_t>(rowBytes(task.codeBits));
    for (int unit = 0; unit < codeUnits(dim); ++unit) {
      packCodes(residual + unit * kUnitChannels, task.codeBits,
                codes + static_cast<std::size_t>(unit) * task.planeBytes);
    }
  }
}

}  // namespace
}  // namespace kvasir::selection
