// Memory for direct file access, one block a thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../runtime/memory.h"

namespace kvasir::tier {

// Page-aligned; holds until the thread asks again.
inline std::uint8_t* alignedBytes(std::size_t bytes) {
  thread_local Memory memory;
  if (memory.bytes() < bytes) memory = Memory(bytes);
  return memory.data();
}

}  // namespace kvasir::tier
