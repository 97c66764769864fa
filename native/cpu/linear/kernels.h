// The tables of inner loops that each instruction set fills in. Everything else is shared.
//
// Sums over columns run in one fixed order for each output, whatever the tile it falls in: float tiles add one
// column after the other, integer tiles and both decode loops one block after the other.
#pragma once

#include <cstddef>
#include <cstdint>

#include "layout.h"

namespace kvasir::lin {

// 32 activations in 8 bits: x = scale * code.
struct ActBlock {
  float scale;
  float sum;                   // scale * (sum of the codes)
  std::int32_t minusTotal;     // minus the sum of the codes: times a type's offset, where its dot products start
  std::int32_t minusHalf[2];   // the same of codes 0..15 and 16..31
  std::int8_t codes[blockCols];
};

// 32 activations as 24-bit fixed point, x = scale * (65536 d[0] + 256 d[1] + d[2]): within 2^-24 of the block's
// largest magnitude, which is what float32 sums keep of it. Dot products with the codes are exact integers.
struct DigitBlock {
  float scale;
  float sum[2];              // sums of activations 0..15 and 16..31
  std::int16_t half[3][2];   // sums of each digit over the same
  std::int8_t digits[3][blockCols];
};

// Blocks below this count as zero: the inverse of their scale would overflow.
constexpr float smallestMagnitude = 1e-31f;
constexpr float digitRange = 127.0f * 65536.0f;

// Prefill with float32 activations, and decode of float types.
struct FloatKernels {
  int panelGroups;  // groups of 16 output rows side by side in a prefill panel
  int tileRows;     // most input rows of one tile call
  int decodeRows;   // most input rows of one decode call

  // One group's columns as float32 into panel [cols][panelGroups * 16], at group `place` of the panel.
  void (*unpack)(WeightType type, const std::uint8_t* group, int cols, int place, float* panel);
  // tile [rows][panelGroups * 16] = (first ? 0 : tile) + x [rows][xStride] * panel
  void (*multiply)(int rows, const float* x, std::size_t xStride, const float* panel, int cols, bool first, float* tile);
  // out [rows][outStride] = or += tile [rows][tileStride] + bias, over `groups` whole groups; bias may be null
  void (*store)(int rows, int groups, const float* tile, int tileStride, const float* bias, bool accumulate, float* out,
                std::size_t outStride);
  // out [rows][16] = x [rows][xStride] * one group of a float type
  void (*decode)(WeightType type, const std::uint8_t* group, int cols, int rows, const float* x, std::size_t xStride,
                 float* out);
};

// Quantised types against activations as integers.
struct ByteKernels {
  int panelGroups;
  int tileRows;
  int decodeRowsExact;
  int decodeRowsFast;

  // x [blocks * 32] -> out [blocks]
  void (*quantise)(const float* x, int blocks, ActBlock* out);
  void (*splitDigits)(const float* x, int blocks, DigitBlock* out);

  // One group's blocks as bytes: for each block scales [subs][panelGroups * 16] f32, minima alike where the type
  // has them, codes [8 steps][panelGroups * 16][4] u8.
  void (*unpack)(WeightType type, const std::uint8_t* group, int cols, int place, std::uint8_t* panel);
  // tile as above; x [rows][xStride] in blocks
  void (*multiply)(WeightType type, int rows, const ActBlock* x, std::size_t xStride, const std::uint8_t* panel, int cols,
                   bool first, float* tile);

  // out [rows][16] = x [rows][cols / 32] * one group. decodeFast sums like multiply, to the bit.
  void (*decodeExact)(WeightType type, const std::uint8_t* group, int cols, int rows, const DigitBlock* x, float* out);
  void (*decodeFast)(WeightType type, const std::uint8_t* group, int cols, int rows, const ActBlock* x, float* out);
};

extern const FloatKernels scalarFloats, avx2Floats, avx512Floats, neonFloats;
extern const ByteKernels scalarBytes, avx2Bytes, avx512Bytes, vnniBytes, neonBytes;

struct LinearKernels {
  const FloatKernels& floats;
  const ByteKernels& bytes;
};

LinearKernels kernelsOf(Isa isa);

// Bytes of one block in a fast panel.
static inline std::size_t fastPanelBlockBytes(const Layout& layout, int panelGroups) {
  const int width = panelGroups * groupRows;
  return static_cast<std::size_t>(width) * static_cast<std::size_t>(4 * layout.subs() * (layout.hasMin ? 2 : 1) + blockCols);
}

}  // namespace kvasir::lin
