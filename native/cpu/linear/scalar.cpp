// The reference: every kernel as its formula, one value at a time.
#include <cmath>
#include <cstring>

#include "half.h"
#include "kernels.h"

namespace kvasir::lin {
namespace {

using Bytes = const std::uint8_t*;

float floatAt(WeightType type, Bytes group, int k, int row) {
  const std::size_t index = static_cast<std::size_t>(k) * groupRows + static_cast<std::size_t>(row);
  float value;
  std::memcpy(&value, group + 4 * (type == WeightType::f32 ? index : 0), 4);
  if (type == WeightType::f16) value = loadHalf(group + 2 * index);
  if (type == WeightType::bf16) value = fromBfloat(load16(group + 2 * index));
  return value;
}

struct Scales {
  float scale;
  float min;
};

// Scale and min of sub-block `s` of block `b`, row `row`.
Scales scalesAt(const Layout& layout, Bytes group, int b, int s, int row) {
  Bytes block = group + layout.groupBytes(b * blockCols) + layout.superHeadBytes();
  if (!layout.super) return {loadHalf(block + 2 * row), layout.hasMin ? loadHalf(block + 2 * (groupRows + row)) : 0.0f};
  Bytes head = group + layout.groupBytes(b / 8 * superCols);
  const std::uint8_t factor = block[s * groupRows + row];
  if (!layout.hasMin) return {loadHalf(head + 2 * row) * static_cast<float>(static_cast<std::int8_t>(factor)), 0.0f};
  return {loadHalf(head + 2 * row) * static_cast<float>(factor),
          -(loadHalf(head + 2 * (groupRows + row)) * static_cast<float>(block[(layout.subs() + s) * groupRows + row]))};
}

Bytes codesAt(const Layout& layout, Bytes group, int b) {
  return group + layout.groupBytes(b * blockCols) + layout.superHeadBytes() + layout.headBytes();
}

// Compared as bits: NaN is above everything, and makes the scale NaN.
float largestMagnitude(const float* x) {
  float largest = 0;
  for (int k = 0; k < blockCols; ++k)
    if (toBits(std::fabs(x[k])) > toBits(largest)) largest = std::fabs(x[k]);
  return largest;
}

int roundToInt(float x) { return std::fabs(x) < 1e9f ? static_cast<int>(std::nearbyint(x)) : 0; }

void quantise(const float* x, int blocks, ActBlock* out) {
  for (int b = 0; b < blocks; ++b, x += blockCols, ++out) {
    const float largest = largestMagnitude(x);
    const bool empty = largest < smallestMagnitude;
    const float inverse = empty ? 0.0f : 127 / largest;
    out->scale = empty ? 0.0f : largest * (1.0f / 127);
    int sums[2] = {};
    for (int k = 0; k < blockCols; ++k) {
      const int code = roundToInt(x[k] * inverse);
      out->codes[k] = static_cast<std::int8_t>(code);
      sums[k / 16] += code;
    }
    for (int h = 0; h < 2; ++h) out->minusHalf[h] = -sums[h];
    out->minusTotal = -(sums[0] + sums[1]);
    out->sum = out->scale * static_cast<float>(sums[0] + sums[1]);
  }
}

void splitDigits(const float* x, int blocks, DigitBlock* out) {
  for (int b = 0; b < blocks; ++b, x += blockCols, ++out) {
    const float largest = largestMagnitude(x);
    const bool empty = largest < smallestMagnitude;
    const float inverse = empty ? 0.0f : digitRange / largest;
    out->scale = empty ? 0.0f : largest * (1.0f / digitRange);
    int sums[2] = {}, digitSums[3][2] = {};
    for (int k = 0; k < blockCols; ++k) {
      int value = roundToInt(x[k] * inverse);
      sums[k / 16] += value;
      for (int d = 2; d >= 0; --d) {
        out->digits[d][k] = static_cast<std::int8_t>(static_cast<std::uint8_t>(value & 255));
        digitSums[d][k / 16] += out->digits[d][k];
        value = (value - out->digits[d][k]) / 256;
      }
    }
    for (int h = 0; h < 2; ++h) {
      out->sum[h] = out->scale * static_cast<float>(sums[h]);
      for (int d = 0; d < 3; ++d) out->half[d][h] = static_cast<std::int16_t>(digitSums[d][h]);
    }
  }
}

// Block b of a group as weights [32][16].
void unpackBlock(const Layout& layout, Bytes group, int b, float* weights) {
  for (int k = 0; k < blockCols; ++k) {
    for (int row = 0; row < groupRows; ++row, ++weights) {
      const Scales s = scalesAt(layout, group, b, k / layout.sub, row);
      *weights = s.scale * static_cast<float>(codeAt(layout, codesAt(layout, group, b), row, k) - layout.offset);
      if (layout.hasMin) *weights += s.min;
    }
  }
}

void unpackExact(WeightType type, Bytes group, int cols, int, float* panel) {
  const Layout layout = layoutOf(type);
  if (layout.isFloat()) {
    for (int i = 0; i < cols * groupRows; ++i) panel[i] = floatAt(type, group, i / groupRows, i % groupRows);
  } else {
    for (int b = 0; b < cols / blockCols; ++b) unpackBlock(layout, group, b, panel + b * blockCols * groupRows);
  }
}

void tileExact(int rows, const float* x, std::size_t xStride, const float* panel, int cols, bool first, float* tile) {
  for (int r = 0; r < rows; ++r) {
    for (int n = 0; n < groupRows; ++n) {
      float sum = first ? 0.0f : tile[r * groupRows + n];
      for (int k = 0; k < cols; ++k) sum += x[static_cast<std::size_t>(r) * xStride + static_cast<std::size_t>(k)] * panel[k * groupRows + n];
      tile[r * groupRows + n] = sum;
    }
  }
}

// The fast panel of the reference keeps the block's shape and holds scales, minima and codes as documented.
void unpackFast(WeightType type, Bytes group, int cols, int, std::uint8_t* panel) {
  const Layout layout = layoutOf(type);
  for (int b = 0; b < cols / blockCols; ++b, panel += fastPanelBlockBytes(layout, 1)) {
    const int subs = layout.subs();
    for (int s = 0; s < subs; ++s) {
      for (int row = 0; row < groupRows; ++row) {
        const Scales scales = scalesAt(layout, group, b, s, row);
        std::memcpy(panel + 4 * (s * groupRows + row), &scales.scale, 4);
        if (layout.hasMin) std::memcpy(panel + 4 * ((subs + s) * groupRows + row), &scales.min, 4);
      }
    }
    std::uint8_t* codes = panel + 4 * groupRows * subs * (layout.hasMin ? 2 : 1);
    for (int k = 0; k < blockCols; ++k)
      for (int row = 0; row < groupRows; ++row)
        codes[(k / 4) * 64 + row * 4 + k % 4] = static_cast<std::uint8_t>(codeAt(layout, codesAt(layout, group, b), row, k));
  }
}

// One output: for each sub-block scale * a * (sum of code products) + min * a * (sum of activation codes).
float dotFast(const Layout& layout, const ActBlock* x, Bytes panel, int blocks, int n, float sum) {
  const int subs = layout.subs();
  for (int b = 0; b < blocks; ++b, ++x, panel += fastPanelBlockBytes(layout, 1)) {
    Bytes codes = panel + 4 * groupRows * subs * (layout.hasMin ? 2 : 1);
    for (int s = 0; s < subs; ++s) {
      float scale, min = 0;
      std::memcpy(&scale, panel + 4 * (s * groupRows + n), 4);
      if (layout.hasMin) std::memcpy(&min, panel + 4 * ((subs + s) * groupRows + n), 4);
      int dot = 0, codeSum = 0;
      for (int k = s * layout.sub; k < (s + 1) * layout.sub; ++k) {
        dot += (codes[(k / 4) * 64 + n * 4 + k % 4] - layout.offset) * x->codes[k];
        codeSum += x->codes[k];
      }
      sum += scale * x->scale * static_cast<float>(dot);
      if (layout.hasMin) sum += min * (x->scale * static_cast<float>(codeSum));
    }
  }
  return sum;
}

void tileFast(WeightType type, int rows, const ActBlock* x, std::size_t xStride, Bytes panel, int cols, bool first,
              float* tile) {
  const Layout layout = layoutOf(type);
  for (int r = 0; r < rows; ++r)
    for (int n = 0; n < groupRows; ++n)
      tile[r * groupRows + n] = dotFast(layout, x + static_cast<std::size_t>(r) * xStride, panel, cols / blockCols, n,
                                        first ? 0.0f : tile[r * groupRows + n]);
}

void storeTile(int rows, int groups, const float* tile, int tileStride, const float* bias, bool accumulate, float* out,
               std::size_t outStride) {
  for (int r = 0; r < rows; ++r, tile += tileStride, out += outStride) {
    for (int n = 0; n < groups * groupRows; ++n) {
      const float value = bias ? tile[n] + bias[n] : tile[n];
      out[n] = accumulate ? out[n] + value : value;
    }
  }
}

void decodeFloats(WeightType type, Bytes group, int cols, int rows, const float* x, std::size_t xStride, float* out) {
  for (int r = 0; r < rows; ++r) {
    for (int n = 0; n < groupRows; ++n) {
      float sum = 0;
      for (int k = 0; k < cols; ++k) sum += x[static_cast<std::size_t>(r) * xStride + static_cast<std::size_t>(k)] * floatAt(type, group, k, n);
      out[r * groupRows + n] = sum;
    }
  }
}

void decodeExact(WeightType type, Bytes group, int cols, int rows, const DigitBlock* x, float* out) {
  for (int i = 0; i < rows * groupRows; ++i) out[i] = 0;
  float weights[blockCols * groupRows], values[blockCols];
  const Layout layout = layoutOf(type);
  for (int b = 0; b < cols / blockCols; ++b) {
    unpackBlock(layout, group, b, weights);
    for (int r = 0; r < rows; ++r) {
      const DigitBlock& in = x[r * (cols / blockCols) + b];
      for (int k = 0; k < blockCols; ++k)
        values[k] = in.scale * static_cast<float>(65536 * in.digits[0][k] + 256 * in.digits[1][k] + in.digits[2][k]);
      tileExact(1, values, 0, weights, blockCols, false, out + r * groupRows);
    }
  }
}

void decodeFast(WeightType type, Bytes group, int cols, int rows, const ActBlock* x, float* out) {
  const Layout layout = layoutOf(type);
  alignas(64) std::uint8_t panel[8 * (4 * 4 + blockCols) * groupRows];
  for (int k = 0; k < cols; k += superCols) {
    const int count = cols - k < superCols ? cols - k : superCols;
    unpackFast(type, group + layout.groupBytes(k), count, 0, panel);
    tileFast(type, rows, x + k / blockCols, static_cast<std::size_t>(cols / blockCols), panel, count, k == 0, out);
  }
}

}  // namespace

const FloatKernels scalarFloats = {1, 4, 4, unpackExact, tileExact, storeTile, decodeFloats};
const ByteKernels scalarBytes = {1, 4, 4, 4, quantise, splitDigits, unpackFast, tileFast, decodeExact, decodeFast};

}  // namespace kvasir::lin
