#include "tiered_staging.h"

#include <algorithm>

namespace kvasir::gpu {

TieredStaging::TieredStaging(SessionPtr session, const ArenaShape& shape, const KvasirKvView& rows)
    : session_(std::move(session)),
      numLayers_(shape.numLayers),
      tileBytes_(shape.tileBytes()),
      rows_(rows),
      copies_(session_->device),
      ready_(session_->device),
      buffers_{Buffer(session_->device), Buffer(session_->device)} {}

TieredStaging::~TieredStaging() {
  copies_.settle();
  session_->stream.settle();
}

KvasirKvView TieredStaging::view() const {
  KvasirKvView view = rows_;
  view.base = buffers_[now_].memory.data();
  view.pageStride = tileBytes_;
  view.layerStride = 0;
  return view;
}

// Makes the buffer one of this layer with room for so many pages; what it has of the layer stays.
void TieredStaging::turnTo(Buffer& buffer, int layer, std::size_t pages) {
  const std::size_t held = buffer.memory.bytes() / tileBytes_;
  if (buffer.layer == layer && pages <= held) return;
  if (pages > held) {
    // Ops under way may still read what goes.
    copies_.synchronize();
    session_->stream.synchronize();
    buffer.memory = DeviceMemory();
    buffer.memory = DeviceMemory(session_->device, (pages + pages / 4) * tileBytes_);
  }
  buffer.layer = layer;
  buffer.tiles.clear();
  buffer.free.resize(buffer.memory.bytes() / tileBytes_);
  // The first ones are taken first: neighbours are copied in one go.
  for (std::size_t i = 0; i < buffer.free.size(); ++i) buffer.free[i] = static_cast<std::int32_t>(buffer.free.size() - 1 - i);
}

void TieredStaging::copy(const Stream& stream, Buffer& buffer, const std::vector<std::int32_t>& pages) {
  const auto tileFor = [&](std::int32_t page) {
    const std::int32_t tile = buffer.free.back();
    buffer.free.pop_back();
    return buffer.tiles[page] = tile;
  };
  const std::uint8_t* rows = rows_.base + static_cast<std::size_t>(buffer.layer) * rows_.layerStride;
  for (std::size_t i = 0; i < pages.size();) {
    const std::int32_t page = pages[i], tile = tileFor(page);
    std::size_t count = 1;
    while (i + count < pages.size() && pages[i + count] == page + static_cast<std::int32_t>(count) &&
           buffer.free.back() == tile + static_cast<std::int32_t>(count)) {
      tileFor(pages[i + count++]);
    }
    stream.copyRows(buffer.memory.data() + static_cast<std::size_t>(tile) * tileBytes_, tileBytes_,
                    rows + static_cast<std::size_t>(page) * rows_.pageStride, rows_.pageStride, tileBytes_, count);
    i += count;
  }
}

void TieredStaging::bring(int layer, const std::vector<std::int32_t>& pages) {
  now_ = layer % 2;
  Buffer& buffer = buffers_[now_];
  session_->stream.wait(buffer.copied);
  std::vector<std::int32_t> missing;
  const auto findMissing = [&] {
    missing.clear();
    for (const std::int32_t page : pages) {
      if (buffer.tiles.count(page) == 0) missing.push_back(page);
    }
  };
  turnTo(buffer, layer, pages.size());
  findMissing();
  if (missing.size() > buffer.free.size()) {
    buffer.layer = -1;
    turnTo(buffer, layer, pages.size());
    findMissing();
  }
  copy(session_->stream, buffer, missing);
}

void TieredStaging::ahead(int layer, const std::vector<std::int32_t>& pages, std::size_t room) {
  if (layer >= numLayers_ || pages.empty()) return;
  Buffer& buffer = buffers_[layer % 2];
  buffer.layer = -1;
  turnTo(buffer, layer, room);
  // Whoever read the buffer before is on the session's stream already.
  session_->stream.record(ready_);
  copies_.wait(ready_);
  copy(copies_, buffer, pages);
  copies_.record(buffer.copied);
}

void TieredStaging::forget(int layer, std::int32_t page) {
  for (Buffer& buffer : buffers_) {
    if (layer >= 0 && buffer.layer != layer) continue;
    const auto at = buffer.tiles.find(page);
    if (at == buffer.tiles.end()) continue;
    buffer.free.push_back(at->second);
    buffer.tiles.erase(at);
  }
}

void TieredStaging::release() {
  if (bytes() == 0) return;
  copies_.synchronize();
  session_->stream.synchronize();
  for (Buffer& buffer : buffers_) {
    buffer.layer = -1;
    buffer.tiles.clear();
    buffer.free.clear();
    buffer.memory = DeviceMemory();
  }
}

}  // namespace kvasir::gpu
