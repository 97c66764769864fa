// How a weight matrix lies in device memory: in the order in which mma takes it, so that a thread reads its share in whole
// vectors and needs nothing of its neighbours.
//
// Rows are taken in groups of 16, columns in tiles of 64 (the last one filled up with zeros). Of a tile, lane l = 4 g + t of a
// warp owns rows g and g + 8, columns 16 t to 16 t + 15, in four steps of four columns. Pair i of step s: row g + 8 (i % 2),
// columns 16 t + 4 s + 2 (i / 2) and the next, which is word i of an mma's left operand. A lane's words of codes come in
// vectors of four: [vector][lane][4]. A tile is
//   codes   4 bits    word s: pair i at bits 4 i and 16 + 4 i
//           8 bits    words 2 s and 2 s + 1: pair i in the word i / 2, at bytes i % 2 and 2 + i % 2
//           floats    16 bits: word 4 s + i; 32 bits: words 8 s + 2 i and the next
//   high    bits 5    one word a lane: pair i of step s at bits 4 s + i and 16 + 4 s + i
//           bits 6    two: word s / 2, pair i at bits 2 (4 (s % 2) + i) and 16 more
//   scales  [32 / sub][g] of f16 (scale of row g, of row g + 8; then minima alike), of the columns t that share them;
//           in two levels: of bytes, and before every four tiles f16 [g] of (scale g, g + 8; scale of minima alike)
// A weight is scale * (code - offset) or scale * code + min. Everything starts at multiples of 16 bytes.
#pragma once

#include <cstddef>

#include "../args/weights.h"
#include "../context/vocabulary.h"

namespace kvasir::gpu {

constexpr int kGroupRows = 16, kTileCols = 64, kSuperTiles = 4;

struct TileLayout {
  int bits;     // of a code or of a float
  int sub;      // columns that share a scale
  bool hasMin;
  bool super;   // scales in two levels
  int offset;

  KVASIR_BOTH constexpr bool isFloat() const { return bits >= 16; }
  // Words of codes that a lane has in a step, of high bits that it has in a tile.
  KVASIR_BOTH constexpr int stepWords() const { return bits < 8 ? 1 : bits / 4; }
  KVASIR_BOTH constexpr int highWords() const { return bits == 5 ? 1 : bits == 6 ? 2 : 0; }
  KVASIR_BOTH constexpr int codeWords() const { return 32 * 4 * stepWords(); }
  KVASIR_BOTH constexpr int scaleAt() const { return codeWords() + 32 * highWords(); }
  KVASIR_BOTH constexpr int scaleWords() const {
    return isFloat() ? 0 : (sub == 16 ? 32 : 16) * (hasMin ? 4 : 2) / (super ? 4 : 2);
  }
  KVASIR_BOTH constexpr int tileWords() const { return scaleAt() + scaleWords(); }
  KVASIR_BOTH constexpr int headWords() const { return super ? 8 * (hasMin ? 2 : 1) : 0; }
  // In a group, the words where a tile starts, and its head.
  KVASIR_BOTH constexpr std::size_t headOf(int tile) const {
    return static_cast<std::size_t>(tile / kSuperTiles) * static_cast<std::size_t>(headWords() + kSuperTiles * tileWords());
  }
  KVASIR_BOTH constexpr std::size_t tileOf(int tile) const {
    if (!super) return static_cast<std::size_t>(tile) * static_cast<std::size_t>(tileWords());
    return headOf(tile) + static_cast<std::size_t>(headWords() + tile % kSuperTiles * tileWords());
  }
  KVASIR_BOTH constexpr std::size_t groupWords(int tiles) const { return super ? headOf(tiles) : tileOf(tiles); }
};

// Two formats are stored as another one with exactly the same values.
KVASIR_BOTH constexpr int storedAs(int type) {
  return type == KVASIR_WEIGHT_IQ4_NL ? KVASIR_WEIGHT_Q8_0 : type == KVASIR_WEIGHT_Q3_K ? KVASIR_WEIGHT_Q6_K : type;
}

KVASIR_BOTH constexpr TileLayout tileLayoutOf(int type) {
  switch (storedAs(type)) {
    case KVASIR_WEIGHT_F32: return {32, 0, false, false, 0};
    case KVASIR_WEIGHT_F16:
    case KVASIR_WEIGHT_BF16: return {16, 0, false, false, 0};
    case KVASIR_WEIGHT_Q4_0: return {4, 32, false, false, 8};
    case KVASIR_WEIGHT_Q4_1: return {4, 32, true, false, 0};
    case KVASIR_WEIGHT_Q5_0: return {5, 32, false, false, 16};
    case KVASIR_WEIGHT_Q5_1: return {5, 32, true, false, 0};
    case KVASIR_WEIGHT_Q8_0: return {8, 32, false, false, 128};
    case KVASIR_WEIGHT_Q2_K: return {4, 16, true, true, 0};
    case KVASIR_WEIGHT_Q4_K: return {4, 32, true, true, 0};
    case KVASIR_WEIGHT_Q5_K: return {5, 32, true, true, 0};
    case KVASIR_WEIGHT_Q6_K: return {6, 16, false, true, 32};
    default: return {0, 0, false, false, 0};
  }
}

KVASIR_BOTH constexpr int tilesOf(int cols) { return static_cast<int>((static_cast<long long>(cols) + kTileCols - 1) / kTileCols); }
KVASIR_BOTH constexpr int groupsOf(int rows) { return static_cast<int>((static_cast<long long>(rows) + kGroupRows - 1) / kGroupRows); }

}  // namespace kvasir::gpu
