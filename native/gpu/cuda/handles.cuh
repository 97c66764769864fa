// What the opaque pointers of the table are on a device.
#pragma once

#include <cuda_runtime.h>

#include "../args/status.h"

struct KvasirDevice {
  int index;
  int multiprocessors;
};

struct KvasirStream {
  KvasirDevice* device;
  cudaStream_t handle;
};

namespace kvasir::gpu {

// OK, or the status and the text of a CUDA error.
int check(cudaError_t error, const char* what);

}  // namespace kvasir::gpu
