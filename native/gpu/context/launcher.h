// What an op launches its kernels with. A kernel is a struct:
//   using Args;                              copied at the launch
//   static constexpr int kThreads;           a block, a multiple of 32
//   static constexpr int kMinBlocks;         a multiprocessor, which bounds the registers
//   static constexpr unsigned kSharedBytes;  no plan asks for more
//   template <class Cx> static KVASIR_DEVICE void body(Cx& cx, const Args& args);
// and is started by Launcher(stream).run<Kernel>(plan, args), which gives a KVASIR_GPU_* status.
#pragma once

#include "vocabulary.h"

#if defined(__CUDACC__)
#include "../cuda/launcher.cuh"
#else
#include "../emulated/launcher.h"
#endif
