#include "host_tier.h"

#include <cstring>

namespace kvasir::tier {

std::shared_ptr<IoJob> LowerTier::read(int, const Fill*, int) { return nullptr; }

HostTier::HostTier(const ArenaShape& shape, LowerType type)
    : shape_(shape), format_(type, shape.numKvHeads, shape.headDim) {
  const double tiles = static_cast<double>(shape.numLayers) * shape.capacityPages;
  memory_ = Memory(addressable(tiles, format_.tileBytes()));
  heldMemory_ = Memory(addressable(tiles, sizeof *held_));
  held_ = reinterpret_cast<std::uint16_t*>(heldMemory_.data());
  view_ = {memory_.data(),
           format_.tileBytes(),
           format_.tileBytes() * static_cast<std::size_t>(shape.capacityPages),
           format_.blockBytes(),
           format_.rows.partBytes(),
           KvType::f16,
           shape.numKvHeads,
           shape.headDim};
}

void HostTier::write(Context& context, int layer, const float* keys, const float* values, const std::int32_t* slots,
                     int rows) {
  if (view() != nullptr) writeKv(context, view_, layer, keys, values, slots, rows);
  for (int r = 0; r < rows; ++r) {
    const int page = slots[r] / kPageTokens, at = slots[r] % kPageTokens;
    if (view() == nullptr) format_.encode(keys, values, r, shape_.headDim, at, tile(layer, page));
    std::uint16_t& held = held_[number(layer, page)];
    if (held == 0) ++tiles_;
    held = static_cast<std::uint16_t>(held | 1u << at);
  }
}

void HostTier::expect(int layer, int page, int kvHead, int row) const {
  constexpr std::size_t line = 64;
  const RowFormat& rows = format_.rows;
  const std::size_t values =
      rows.type() == LowerType::f16 ? rows.hotRowBytes() : static_cast<std::size_t>(shape_.headDim);
  const std::uint8_t* key = tile(layer, page) + static_cast<std::size_t>(kvHead) * format_.blockBytes() +
                            static_cast<std::size_t>(row) * values;
  for (std::size_t at = 0; at < values; at += line) {
    __builtin_prefetch(key + at);
    __builtin_prefetch(key + rows.partBytes() + at);
  }
}

void HostTier::fill(int layer, Fill& fill) {
  format_.decode(tile(layer, fill.page) + static_cast<std::size_t>(fill.kvHead) * format_.blockBytes(), fill, kAllRows);
  fill.rows[0] = fill.rows[1] = 0;
}

void HostTier::copyPage(int layer, int from, int to) {
  if (from == to) return;
  std::memcpy(tile(layer, to), tile(layer, from), format_.tileBytes());
  if (held_[number(layer, to)] == 0 && held_[number(layer, from)] != 0) ++tiles_;
  held_[number(layer, to)] = held_[number(layer, from)];
}

}  // namespace kvasir::tier
