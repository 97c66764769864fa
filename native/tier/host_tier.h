// A lower tier in memory: [layer][page][KV head][K part | V part].
#pragma once

#include "tile_rows.h"

namespace kvasir::tier {

class HostTier final : public LowerTier {
 public:
  HostTier(const ArenaShape& shape, LowerType type);

  const KvView* view() const override { return format_.rows.type() == LowerType::f16 ? &view_ : nullptr; }
  void write(Context& context, int layer, const float* keys, const float* values, const std::int32_t* slots,
             int rows) override;
  unsigned heldRows(int layer, int page) const override { return held_[number(layer, page)]; }
  void expect(int layer, int page, int kvHead, int row) const override;
  void fill(int layer, Fill& fill) override;
  void copyPage(int layer, int from, int to) override;
  double tiles() const override { return static_cast<double>(tiles_); }
  double bytes() const override { return static_cast<double>(tiles_) * static_cast<double>(format_.tileBytes()); }
  double tableBytes() const override { return static_cast<double>(tiles_) * sizeof *held_; }

 private:
  std::size_t number(int layer, int page) const {
    return static_cast<std::size_t>(layer) * static_cast<std::size_t>(shape_.capacityPages) +
           static_cast<std::size_t>(page);
  }
  std::uint8_t* tile(int layer, int page) const { return memory_.data() + number(layer, page) * format_.tileBytes(); }

  ArenaShape shape_;
  TileFormat format_;
  Memory memory_, heldMemory_;
  std::uint16_t* held_;  // [layer][page]
  KvView view_{};
  std::size_t tiles_ = 0;  // with any row
};

}  // namespace kvasir::tier
