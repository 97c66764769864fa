#include "uploads.h"

#include <algorithm>
#include <cstring>

namespace kvasir::gpu {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{1} << 20;
constexpr std::size_t kAlignment = 256;

}  // namespace

// Room is a power of two, so that what grows with a sequence seldom moves what comes behind it: a graph finds the arrays
// of a run where those of the run before were.
const std::uint8_t* Uploads::pushBytes(const void* values, std::size_t bytes) {
  std::size_t room = kAlignment;
  while (room < bytes) room *= 2;
  if (blocks_.empty() || blocks_.back().host.bytes() - blocks_.back().used < room) addBlock(std::max(kBlockBytes, room));
  Block& block = blocks_.back();
  const std::size_t at = block.used;
  block.used += room;
  if (bytes > 0) {
    std::memcpy(block.host.data() + at, values, bytes);
    stream_.copyAhead(block.device.data() + at, block.host.data() + at, bytes);
  }
  return block.device.data() + at;
}

// One block for as much as the last run took: the next one is much like it.
void Uploads::reset() {
  if (blocks_.size() > 1) {
    std::size_t bytes = 0;
    for (const Block& block : blocks_) bytes += block.host.bytes();
    blocks_.clear();
    addBlock(bytes);
  }
  if (!blocks_.empty()) blocks_.front().used = 0;
}

void Uploads::addBlock(std::size_t bytes) {
  blocks_.push_back({PinnedMemory(stream_.device(), bytes), DeviceMemory(stream_.device(), bytes)});
}

}  // namespace kvasir::gpu
