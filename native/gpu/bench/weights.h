// Weight matrices of random numbers on the device, and products with them.
#pragma once

#include <vector>

#include "gpu.h"

namespace kvasir::gpu::bench {

struct Weights {
  Memory memory;
  KvasirWeight weight{};

  Weights(const Gpu& gpu, int type, int rows, int cols);
  std::size_t bytes() const { return memory.bytes(); }
};

// Activation rows as the fast mode of linear takes them.
struct Prepared {
  Memory halves, scales;
  KvasirHalfRows rows{};

  Prepared(const Gpu& gpu, int count, int cols);
};

const char* weightName(int type);

}  // namespace kvasir::gpu::bench
