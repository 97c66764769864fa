// A yardstick where it happens to be installed: nothing links it, nothing else uses it.
#pragma once

#include "gpu.h"

namespace kvasir::gpu::bench {

// Floating-point operations a second of a square product of f16 into f16 with f32 sums; 0 and `why` where it cannot be had.
// KVASIR_CUBLAS names the library, else the loader's path is searched.
double cublasFlopASecond(const Gpu& gpu, int size, std::string& why);

}  // namespace kvasir::gpu::bench
