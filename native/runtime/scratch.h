// Working memory of ops: one block a worker and one that all share, kept from op to op.
#pragma once

#include <array>
#include <cstddef>

#include "memory.h"
#include "pool.h"

namespace kvasir {

class Scratch {
 public:
  std::byte* ofWorker(int worker, std::size_t bytes) { return atLeast(workers_[worker], bytes); }
  std::byte* ofAll(std::size_t bytes) { return atLeast(shared_, bytes); }

 private:
  static std::byte* atLeast(Memory& memory, std::size_t bytes) {
    constexpr std::size_t step = std::size_t{64} << 10;
    if (memory.bytes() < bytes) {
      memory.release();
      memory = Memory((bytes + bytes / 4 + step - 1) / step * step);
    }
    return reinterpret_cast<std::byte*>(memory.data());
  }

  std::array<Memory, Pool::maxWorkers> workers_;
  Memory shared_;
};

}  // namespace kvasir
