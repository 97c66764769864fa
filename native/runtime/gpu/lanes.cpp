#include "lanes.h"

namespace kvasir::gpu {

Lanes::Lanes(const DevicePtr& device, int count) : stream(device) {
  for (int i = 0; i < count; ++i) lanes_.emplace_back(device);
}

void Lanes::reserve(std::size_t bytes) {
  for (Lane& lane : lanes_) {
    // Each on its own: the second may have failed to grow before.
    if (lane.host.bytes() < bytes) lane.host = PinnedMemory(stream.device(), bytes);
    if (lane.device.bytes() < bytes) lane.device = DeviceMemory(stream.device(), bytes);
  }
}

}  // namespace kvasir::gpu
