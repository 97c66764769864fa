// Launches a kernel struct on a stream of a device.
#pragma once

#include <cuda_runtime.h>

#include <string>
#include <utility>

#include "../context/device.cuh"
#include "../failure.h"
#include "handles.cuh"

namespace kvasir::gpu {

// Threads and shared bytes stand in the name of the function, where tools/cuda-check.mjs reads them.
template <class Kernel, int kThreads, unsigned kSharedBytes>
__global__ void __launch_bounds__(kThreads, Kernel::kMinBlocks) kernel(const __grid_constant__ typename Kernel::Args args) {
  device::Context context;
  Kernel::body(context, args);
}

class Launcher {
 public:
  explicit Launcher(KvasirStream* stream) : stream_(stream) {}

  template <class Kernel>
  int run(const Plan& plan, const typename Kernel::Args& args) {
    requireLaunchable<Kernel>();
    if (plan.gridX == 0 || plan.gridY == 0) return KVASIR_GPU_OK;
    if (plan.gridX > 0x7fffffffu || plan.gridY > 65535u) return refuse("the grid is too large");
    if (plan.sharedBytes > Kernel::kSharedBytes) return refuse("plan exceeds kSharedBytes");
    const int status = check(cudaSetDevice(stream_->device->index), "cudaSetDevice");
    if (status != KVASIR_GPU_OK) return status;
    const void* function = reinterpret_cast<const void*>(kernel<Kernel, Kernel::kThreads, Kernel::kSharedBytes>);
    const int loaded = load(stream_->device, function, Kernel::kSharedBytes);
    if (loaded != KVASIR_GPU_OK) return loaded;
    void* pointers[] = {const_cast<typename Kernel::Args*>(&args)};
    return check(cudaLaunchKernel(function, dim3(plan.gridX, plan.gridY), dim3(Kernel::kThreads), pointers, plan.sharedBytes,
                                  stream_->handle),
                 "launch of a kernel");
  }

  int refuse(std::string text) { return fail(KVASIR_GPU_INVALID, std::move(text)); }

  int multiprocessors() const { return stream_->device->multiprocessors; }

 private:
  KvasirStream* stream_;
};

}  // namespace kvasir::gpu
