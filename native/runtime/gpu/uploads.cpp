#include "uploads.h"

#include <algorithm>
#include <cstring>

namespace kvasir::gpu {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{1} << 20;
constexpr std::size_t kAlignment = 256;

}  // namespace

const std::uint8_t* Uploads::pushBytes(const void* values, std::size_t bytes) {
  if (blocks_.empty() || blocks_.back().host.bytes() - blocks_.back().used < bytes) {
    const std::size_t size = std::max(kBlockBytes, (bytes + kAlignment - 1) / kAlignment * kAlignment);
    blocks_.push_back({PinnedMemory(stream_.device(), size), DeviceMemory(stream_.device(), size)});
  }
  Block& block = blocks_.back();
  const std::size_t at = block.used;
  if (bytes > 0) std::memcpy(block.host.data() + at, values, bytes);
  stream_.copy(block.device.data() + at, block.host.data() + at, bytes);
  block.used = std::min(block.host.bytes(), (at + bytes + kAlignment - 1) / kAlignment * kAlignment);
  return block.device.data() + at;
}

// The largest block stays: the next run is much like the last.
void Uploads::reset() {
  if (blocks_.empty()) return;
  const auto larger = [](const Block& a, const Block& b) { return a.host.bytes() < b.host.bytes(); };
  std::swap(blocks_.front(), *std::max_element(blocks_.begin(), blocks_.end(), larger));
  blocks_.resize(1);
  blocks_.front().used = 0;
}

}  // namespace kvasir::gpu
