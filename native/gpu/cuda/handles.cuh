// What the opaque pointers of the table are on a device.
#pragma once

#include <cuda_runtime.h>

#include <mutex>
#include <unordered_set>

#include "../args/status.h"

struct KvasirDevice {
  int index;
  int multiprocessors;
  std::mutex loading;
  std::unordered_set<const void*> loaded;  // kernels
};

struct KvasirStream {
  KvasirDevice* device;
  cudaStream_t handle;
};

namespace kvasir::gpu {

// OK, or the status and the text of a CUDA error.
int check(cudaError_t error, const char* what);

// Once a kernel: brings it to the current device, `device`, which launches do by themselves but captures need not allow, and
// lets it have its shared memory: more than 48 KiB is had for the asking.
int load(KvasirDevice* device, const void* function, unsigned sharedBytes);

}  // namespace kvasir::gpu
