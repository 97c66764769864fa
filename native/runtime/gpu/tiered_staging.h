// One layer's rows brought to the device whole, while those of the next layer are already on their way: what prefill reads.
#pragma once

#include <unordered_map>
#include <vector>

#include "../arena.h"
#include "session.h"

namespace kvasir::gpu {

// Rows of one layer and the pages that a batch finds them in.
struct StagedRows {
  KvasirKvView view;
  const std::int32_t* pages;  // in device memory, as many as the batch has
};

// Two layers take turns in device memory that grows with the pages of one. Used by the executor's thread alone.
class TieredStaging {
 public:
  // `rows`: canonical pages in pinned memory, by their host address.
  TieredStaging(SessionPtr session, const ArenaShape& shape, const KvasirKvView& rows);
  ~TieredStaging();

  // All rows of these pages of a layer as they are now on the session's stream; tileOf tells where.
  void bring(int layer, const std::vector<std::int32_t>& pages);
  // Starts to bring pages of a layer that comes next and will want `room` pages. None of these is written before it does.
  void ahead(int layer, const std::vector<std::int32_t>& pages, std::size_t room);

  std::int32_t tileOf(std::int32_t page) const { return buffers_[now_].tiles.at(page); }
  KvasirKvView view() const;

  // Rows of a page are about to change; layer -1: of every layer.
  void forget(int layer, std::int32_t page);
  void release();
  std::size_t bytes() const { return buffers_[0].memory.bytes() + buffers_[1].memory.bytes(); }

 private:
  struct Buffer {
    explicit Buffer(const DevicePtr& device) : copied(device) {}
    int layer = -1;
    DeviceMemory memory;
    std::unordered_map<std::int32_t, std::int32_t> tiles;  // by page
    std::vector<std::int32_t> free;                        // tiles
    Event copied;  // by the copy stream
  };

  void turnTo(Buffer& buffer, int layer, std::size_t pages);
  void copy(const Stream& stream, Buffer& buffer, const std::vector<std::int32_t>& pages);

  SessionPtr session_;
  const int numLayers_;
  const std::size_t tileBytes_;
  const KvasirKvView rows_;
  const Stream copies_;
  const Event ready_;  // on the session's stream
  Buffer buffers_[2];
  int now_ = 0;
};

}  // namespace kvasir::gpu
