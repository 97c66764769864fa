// A lower tier in a file: [layer][page][KV head][K part | V part], so that one layer of neighbouring pages is one
// sequential read and one KV head of a page is one small read. Pages that are not full yet stay in memory.
#pragma once

#include <unordered_map>
#include <vector>

#include "tier_file.h"
#include "tile_rows.h"

namespace kvasir::tier {

struct FileOptions {
  std::string path;
  bool direct;
};

class FileTier final : public LowerTier {
 public:
  FileTier(const ArenaShape& shape, LowerType type, const FileOptions& options);

  const TierFile& file() const { return file_; }

  void write(Context& context, int layer, const float* keys, const float* values, const std::int32_t* slots,
             int rows) override;
  // Stores full pages, and those longest open where there are too many.
  void flush() override;
  unsigned heldRows(int layer, int page) const override;
  unsigned mediumRows(int layer, int page) const override;
  void fill(int layer, Fill& fill) override;
  std::shared_ptr<IoJob> read(int layer, const Fill* fills, int count) override;
  void copyPage(int layer, int from, int to) override;
  double tiles() const override { return static_cast<double>(tiles_); }
  double bytes() const override;
  double tableBytes() const override;
  // Memory of pages that are not full.
  double openBytes() const;

 private:
  struct Open {
    std::unique_ptr<std::uint8_t[]> tile;
    unsigned rows = 0;
    std::uint64_t since = 0;
  };
  class Read;

  std::size_t number(int layer, int page) const {
    return static_cast<std::size_t>(layer) * static_cast<std::size_t>(shape_.capacityPages) +
           static_cast<std::size_t>(page);
  }
  std::uint64_t offsetOf(int layer, int page) const {
    return static_cast<std::uint64_t>(number(layer, page)) * tileStride_;
  }
  std::uint32_t* sumsOf(int layer, int page) const { return sums_ + number(layer, page) * parts_; }
  Open& openTile(int layer, int page);
  void complete(int layer, int page, Open& open);
  void store(std::size_t first, std::size_t count, const std::uint8_t* tiles);
  void readTile(int layer, int page, std::uint8_t* tile) const;
  void storeFull();
  Place placeOf(std::size_t number, int pages) const;

  ArenaShape shape_;
  TileFormat format_;
  TierFile file_;
  std::size_t tileStride_;
  std::size_t parts_;  // of a tile
  Memory storedMemory_, sumsMemory_;
  std::uint16_t* stored_;  // [layer][page] rows on the medium, a bit each
  std::uint32_t* sums_;    // [layer][page][KV head][K, V] checksums
  std::unordered_map<std::size_t, Open> open_;
  std::vector<std::size_t> full_;  // numbers of open pages that are full
  std::vector<std::unique_ptr<std::uint8_t[]>> spare_;
  std::uint64_t clock_ = 0;
  std::size_t tiles_ = 0;
};

}  // namespace kvasir::tier
