// How a quantised weight matrix lies in memory once packed. One layout serves every instruction set.
//
// Rows are taken in groups of 16, columns in blocks of 32. A block of a group holds the 16 rows' scales (and
// minima), then their codes interleaved as [k / 4][16 rows][k % 4], so that one 64-byte register is four columns
// of 16 rows: what a dot-product instruction adds up lane by lane. Codes are unsigned; code + offset is split:
//   bits 8      8 x 64 bytes, one for each four columns ("step")
//   bits 4..6   4 x 64 bytes of low nibbles (low half: steps 0..3, high half: steps 4..7), then
//   bits 5      64 bytes, bit s = bit 4 of step s
//   bits 6      2 x 64 bytes, steps 0..3 and 4..7, bits 2 (s % 4) and up = bits 4 and 5 of step s
// A weight is scale * (code - offset) or scale * code + min. K-quants put 16 rows' f16 scale (and min scale)
// before each 256 columns, and the block holds 8-bit factors of it, one per `sub` columns.
// Float types lie as [column][16 rows].
#pragma once

#include <cstddef>
#include <cstdint>

#include "kvasir/linear.h"

namespace kvasir::lin {

constexpr int groupRows = 16;
constexpr int blockCols = 32;
constexpr int superCols = 256;
constexpr int blockSteps = blockCols / 4;

struct Layout {
  int bits;        // of a code; 0: a float type
  int sub;         // columns that share a scale: 16 or 32
  bool hasMin;
  bool super;      // scales in two levels (K-quants)
  int offset;      // subtracted from a code
  int floatBytes;  // of an element of a float type

  constexpr int offsetBits() const { return offset == 128 ? 7 : offset == 32 ? 5 : offset == 16 ? 4 : offset == 8 ? 3 : 0; }
  constexpr bool isFloat() const { return bits == 0; }
  constexpr int subs() const { return blockCols / sub; }
  constexpr int superHeadBytes() const { return super ? 2 * groupRows * (hasMin ? 2 : 1) : 0; }
  constexpr int headBytes() const { return groupRows * (super ? subs() : 2) * (hasMin ? 2 : 1); }
  constexpr int codeBytes() const { return bits == 8 ? 512 : 256 + 64 * (bits - 4); }
  constexpr int blockBytes() const { return headBytes() + codeBytes(); }

  // Bytes of one group's first `cols` columns: also where column `cols` starts, at block (super block) borders.
  constexpr std::size_t groupBytes(int cols) const {
    if (isFloat()) return static_cast<std::size_t>(cols) * groupRows * static_cast<std::size_t>(floatBytes);
    const std::size_t heads = super ? static_cast<std::size_t>(cols / superCols) * static_cast<std::size_t>(superHeadBytes()) : 0;
    return heads + static_cast<std::size_t>(cols / blockCols) * static_cast<std::size_t>(blockBytes());
  }
};

// Two formats are stored as another one with exactly the same values: IQ4_NL's table entries fit Q8_0,
// Q3_K's codes fit Q6_K.
static constexpr WeightType storedAs(WeightType type) {
  return type == WeightType::iq4_nl ? WeightType::q8_0 : type == WeightType::q3_k ? WeightType::q6_k : type;
}

static constexpr Layout layoutOf(WeightType type) {
  switch (storedAs(type)) {
    case WeightType::f32: return {0, 0, false, false, 0, 4};
    case WeightType::f16:
    case WeightType::bf16: return {0, 0, false, false, 0, 2};
    case WeightType::q4_0: return {4, 32, false, false, 8, 0};
    case WeightType::q4_1: return {4, 32, true, false, 0, 0};
    case WeightType::q5_0: return {5, 32, false, false, 16, 0};
    case WeightType::q5_1: return {5, 32, true, false, 0, 0};
    case WeightType::q2_k: return {4, 16, true, true, 0, 0};
    case WeightType::q4_k: return {4, 32, true, true, 0, 0};
    case WeightType::q5_k: return {5, 32, true, true, 0, 0};
    case WeightType::q6_k: return {6, 16, false, true, 32, 0};
    default: return {8, 32, false, false, 128, 0};
  }
}

// Code of row `row`, column `k` of a block whose codes start at `codes`.
static inline int codeAt(const Layout& layout, const std::uint8_t* codes, int row, int k) {
  const int step = k / 4;
  const int byte = row * 4 + k % 4;
  if (layout.bits == 8) return codes[step * 64 + byte];
  const int nibbles = codes[(step % 4) * 64 + byte];
  int code = step < 4 ? nibbles & 15 : nibbles >> 4;
  const std::uint8_t* high = codes + 256;
  if (layout.bits == 5) code |= ((high[byte] >> step) & 1) << 4;
  if (layout.bits == 6) code |= ((high[(step / 4) * 64 + byte] >> (2 * (step % 4))) & 3) << 4;
  return code;
}

}  // namespace kvasir::lin
