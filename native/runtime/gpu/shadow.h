// A float buffer of the caller as a device sees it.
#pragma once

#include "device.h"

namespace kvasir::gpu {

// The caller reads and writes its own memory between runs; ops read and write `data`. Both meet in pinned memory, which
// also remembers what the device holds: bytes that the caller has not changed are not sent again.
class Shadow {
 public:
  Shadow(const Stream& stream, float* host, std::size_t bytes);

  float* data() const { return reinterpret_cast<float*>(memory_.data()); }
  std::size_t bytes() const { return memory_.bytes(); }
  const float* host() const { return host_; }

  // Makes the first `bytes` on the device what the caller's memory holds.
  void upload(const Stream& stream, std::size_t bytes);

  // Ops write the first bytes, or a run broke off: it is not known what the device holds.
  void changed() { same_ = 0; }

  // Asks for the first `bytes`; once the stream is past that, deliver() puts them into the caller's memory.
  void fetch(const Stream& stream, std::size_t bytes);
  void deliver(std::size_t bytes);

 private:
  float* host_;
  DeviceMemory memory_;
  PinnedMemory staging_;
  std::size_t same_ = 0;  // first bytes of which staging_ and the device hold the same
};

}  // namespace kvasir::gpu
