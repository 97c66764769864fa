#include "shadow.h"

#include <algorithm>
#include <cstring>

namespace kvasir::gpu {

Shadow::Shadow(const Stream& stream, float* host, std::size_t bytes)
    : host_(host), memory_(stream.device(), bytes), staging_(stream.device(), bytes) {}

void Shadow::upload(const Stream& stream, std::size_t bytes) {
  if (bytes <= same_ && std::memcmp(staging_.data(), host_, bytes) == 0) return;
  std::memcpy(staging_.data(), host_, bytes);
  stream.copy(memory_.data(), staging_.data(), bytes);
  same_ = std::max(same_, bytes);
}

void Shadow::fetch(const Stream& stream, std::size_t bytes) { stream.copy(staging_.data(), memory_.data(), bytes); }

void Shadow::deliver(std::size_t bytes) {
  std::memcpy(host_, staging_.data(), bytes);
  same_ = std::max(same_, bytes);
}

}  // namespace kvasir::gpu
