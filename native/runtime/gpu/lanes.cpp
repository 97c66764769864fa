#include "lanes.h"

namespace kvasir::gpu {

Lanes::Lanes(const DevicePtr& device, int count) : stream(device) {
  for (int i = 0; i < count; ++i) lanes_.emplace_back(device);
}

void Lanes::reserve(std::size_t bytes) {
  for (Lane& lane : lanes_) {
    if (lane.host.bytes() >= bytes) continue;
    lane.host = PinnedMemory(stream.device(), bytes);
    lane.device = DeviceMemory(stream.device(), bytes);
  }
}

}  // namespace kvasir::gpu
