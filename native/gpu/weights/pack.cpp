#include "pack.h"

#include <cstring>

#include "../../cpu/linear/gguf_blocks.h"
#include "../../cpu/linear/layout.h"
#include "layout.h"

namespace kvasir::gpu {
namespace {

// Codes come from the CPU's reader in the convention of its own layout.
constexpr bool agrees(WeightType type) {
  const TileLayout tile = tileLayoutOf(static_cast<int>(type));
  const lin::Layout cpu = lin::layoutOf(type);
  return tile.bits == cpu.bits && tile.sub == cpu.sub && tile.hasMin == cpu.hasMin && tile.super == cpu.super &&
         tile.offset == cpu.offset;
}
static_assert(agrees(WeightType::q4_0) && agrees(WeightType::q4_1) && agrees(WeightType::q5_0) && agrees(WeightType::q5_1));
static_assert(agrees(WeightType::q8_0) && agrees(WeightType::iq4_nl) && agrees(WeightType::q2_k) && agrees(WeightType::q3_k));
static_assert(agrees(WeightType::q4_k) && agrees(WeightType::q5_k) && agrees(WeightType::q6_k));

// Where one weight of a tile lies.
struct Place {
  int lane, step, pair, second, group, half, quarter;

  Place(int row, int col)
      : step(col % 16 / 4), pair(col % 4 / 2 * 2 + row / 8), second(col % 2), group(row % 8), half(row / 8), quarter(col / 16) {
    lane = 4 * group + quarter;
  }
  // Of a lane's words of codes, laid out in vectors of four.
  int wordAt(int word) const { return (word / 4 * 32 + lane) * 4 + word % 4; }
};

void putBits(std::uint8_t* words, int word, int bit, std::uint32_t value) {
  std::uint32_t held;
  std::memcpy(&held, words + 4 * static_cast<std::size_t>(word), 4);
  held |= value << bit;
  std::memcpy(words + 4 * static_cast<std::size_t>(word), &held, 4);
}

void putCode(const TileLayout& layout, const Place& at, std::uint32_t code, std::uint8_t* tile) {
  const int s = at.step, i = at.pair, upper = 16 * at.second;
  if (layout.bits == 8) return putBits(tile, at.wordAt(2 * s + i / 2), 8 * (i % 2) + upper, code);
  putBits(tile, at.wordAt(s), 4 * i + upper, code & 15);
  if (layout.bits == 5) putBits(tile, layout.codeWords() + at.lane, 4 * s + i + upper, code >> 4);
  if (layout.bits == 6) putBits(tile, layout.codeWords() + 2 * at.lane + s / 2, 2 * (4 * (s % 2) + i) + upper, code >> 4);
}

// Value `index` (scale, min) of row half `half` in entry `entry` of a list of `width` bits each.
void putScale(bool hasMin, int width, int entry, int index, int half, std::uint32_t value, std::uint8_t* list) {
  const int bit = (entry * (hasMin ? 4 : 2) + 2 * index + half) * width;
  putBits(list, bit / 32, bit % 32, value);
}

void packBlock(const TileLayout& layout, const lin::FileBlock& block, int first, int cols, int row, std::uint8_t* group) {
  const auto bytesAt = [](std::size_t words) { return words * 4; };
  const int g = row % 8, half = row / 8;
  if (layout.super) {
    std::uint8_t* head = group + bytesAt(layout.headOf(first / kTileCols));
    putScale(layout.hasMin, 16, g, 0, half, block.scale, head);
    if (layout.hasMin) putScale(true, 16, g, 1, half, block.min, head);
  }
  for (int k = 0; k < cols; k += layout.sub) {
    const int col = (first + k) % kTileCols, entry = col / layout.sub * 8 + g;
    std::uint8_t* scales = group + bytesAt(layout.tileOf((first + k) / kTileCols) + static_cast<std::size_t>(layout.scaleAt()));
    const int width = layout.super ? 8 : 16;
    putScale(layout.hasMin, width, entry, 0, half, layout.super ? block.factors[k / layout.sub] : block.scale, scales);
    if (!layout.hasMin) continue;
    putScale(true, width, entry, 1, half, layout.super ? block.minFactors[k / layout.sub] : block.min, scales);
  }
  for (int k = 0; k < cols; ++k) {
    putCode(layout, Place(row, (first + k) % kTileCols), block.codes[k], group + bytesAt(layout.tileOf((first + k) / kTileCols)));
  }
}

void packFloats(const TileLayout& layout, int cols, const std::uint8_t* source, int row, std::uint8_t* group) {
  const std::size_t size = static_cast<std::size_t>(layout.bits / 8);
  for (int k = 0; k < cols; ++k, source += size) {
    const Place at(row, k % kTileCols);
    std::uint32_t value = 0;
    std::memcpy(&value, source, size);
    std::uint8_t* tile = group + layout.tileOf(k / kTileCols) * 4;
    if (layout.bits == 16) putBits(tile, at.wordAt(4 * at.step + at.pair), 16 * at.second, value);
    else putBits(tile, at.wordAt(8 * at.step + 2 * at.pair + at.second), 0, value);
  }
}

}  // namespace

std::size_t deviceWeightBytes(int type, int rows, int cols) {
  const TileLayout layout = tileLayoutOf(type);
  if (layout.bits == 0) return 0;
  return static_cast<std::size_t>(groupsOf(rows)) * layout.groupWords(tilesOf(cols)) * 4;
}

void packDeviceRows(int type, int cols, int count, const std::uint8_t* source, std::uint8_t* packed) {
  const TileLayout layout = tileLayoutOf(type);
  const WeightType fileType = static_cast<WeightType>(type);
  const std::size_t groupBytes = layout.groupWords(tilesOf(cols)) * 4;
  std::memset(packed, 0, deviceWeightBytes(type, count, cols));
  const int step = lin::fileBlockCols(fileType);
  const std::size_t blockBytes = static_cast<std::size_t>(lin::fileBlockBytes(fileType));
  lin::FileBlock block;
  for (int row = 0; row < count; ++row) {
    std::uint8_t* group = packed + static_cast<std::size_t>(row / kGroupRows) * groupBytes;
    if (layout.isFloat()) {
      packFloats(layout, cols, source, row % kGroupRows, group);
      source += static_cast<std::size_t>(cols) * blockBytes;
      continue;
    }
    for (int k = 0; k < cols; k += step, source += blockBytes) {
      lin::readFileBlock(fileType, source, block);
      packBlock(layout, block, k, step, row % kGroupRows, group);
    }
  }
}

}  // namespace kvasir::gpu
