// Small host arrays on their way to a device, each copied at once into pinned memory: the caller's own may change.
#pragma once

#include <vector>

#include "device.h"

namespace kvasir::gpu {

class Uploads {
 public:
  explicit Uploads(const Stream& stream) : stream_(stream) {}

  // Device address of a copy of values[0 .. count), there for what follows on the stream until reset().
  template <class T>
  const T* push(const T* values, std::size_t count) {
    return reinterpret_cast<const T*>(pushBytes(values, count * sizeof(T)));
  }

  // Once the stream is past everything that used them.
  void reset();

 private:
  struct Block {
    PinnedMemory host;
    DeviceMemory device;
    std::size_t used = 0;
  };

  const std::uint8_t* pushBytes(const void* values, std::size_t bytes);
  void addBlock(std::size_t bytes);

  const Stream& stream_;
  std::vector<Block> blocks_;
};

}  // namespace kvasir::gpu
