// What an instruction set supplies for the row-wise ops.
#pragma once

#include "kvasir/rows.h"

namespace kvasir::rows {

struct Kernels {
  void (*rmsNorm)(const float* x, const float* weight, float eps, int dim, float* out);
  // Both pairings over one head; cos, sin [pairs].
  void (*rotateHalf)(float* x, const float* cos, const float* sin, int pairs);
  void (*rotateInterleaved)(float* x, const float* cos, const float* sin, int pairs);
  void (*siluGate)(const float* gate, const float* up, int count, float* out);
};

extern const Kernels kernelsScalar;
extern const Kernels kernelsAvx2;
extern const Kernels kernelsAvx512;
extern const Kernels kernelsNeon;

const Kernels& kernelsFor(Isa isa);

}  // namespace kvasir::rows
