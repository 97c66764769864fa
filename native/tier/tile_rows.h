// One page of one layer as it is stored: [KV head][K part | V part].
#pragma once

#include "lower_tier.h"

namespace kvasir::tier {

class TileFormat {
 public:
  TileFormat(LowerType type, int numKvHeads, int headDim) : rows(type, headDim), numKvHeads_(numKvHeads) {}

  const RowFormat rows;

  std::size_t blockBytes() const { return 2 * rows.partBytes(); }
  std::size_t tileBytes() const { return static_cast<std::size_t>(numKvHeads_) * blockBytes(); }

  // Row r of a batch [rows][numKvHeads][headDim] as row `at` of a tile.
  void encode(const float* keys, const float* values, int r, int headDim, int at, std::uint8_t* tile) const {
    for (int head = 0; head < numKvHeads_; ++head, tile += blockBytes()) {
      const std::size_t from =
          (static_cast<std::size_t>(r) * static_cast<std::size_t>(numKvHeads_) + static_cast<std::size_t>(head)) *
          static_cast<std::size_t>(headDim);
      rows.encode(keys + from, at, tile);
      rows.encode(values + from, at, tile + rows.partBytes());
    }
  }

  // The rows of `mask` of both parts, as far as `fill` wants them, from the head's block.
  void decode(const std::uint8_t* block, const Fill& fill, unsigned mask) const {
    const std::size_t row = rows.hotRowBytes();
    for (int part = 0; part < 2; ++part, block += rows.partBytes()) {
      std::uint8_t* to = fill.to + static_cast<std::size_t>(part) * kPageTokens * row;
      for (unsigned left = fill.rows[part] & mask; left != 0; left &= left - 1) {
        const int r = __builtin_ctz(left);
        rows.decode(block, r, to + static_cast<std::size_t>(r - fill.first) * row);
      }
    }
  }

 private:
  int numKvHeads_;
};

}  // namespace kvasir::tier
