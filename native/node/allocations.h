// Memory behind the array buffers that allocate() makes. An environment that ends frees such buffers before anything
// else, with jobs still at work on them: so jobs hold the memory too.
#pragma once

#include <cstddef>
#include <memory>

#include "../runtime/memory.h"

namespace kvasir::node {

// Throws std::bad_alloc.
std::shared_ptr<Memory> allocateShared(std::size_t bytes);

// The memory that `data` points into, or null if it came from elsewhere.
std::shared_ptr<Memory> holderOf(const void* data);

}  // namespace kvasir::node
