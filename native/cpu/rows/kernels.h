// What an instruction set supplies for the row-wise ops.
#pragma once

#include "kvasir/rows.h"

namespace kvasir::rows {

struct Kernels {
  void (*rmsNorm)(const float* x, const float* weight, float eps, int dim, float* out);
  // Both pairings over one head; cos, sin [pairs].
  void (*rotateHalf)(float* x, const float* cos, const float* sin, int pairs);
  void (*rotateInterleaved)(float* x, const float* cos, const float* sin, int pairs);
  // Rows [rows][headDim] of float16: the first 2 * pairs values of each turned by cos, sin [pairs], the rest copied.
  void (*turnHalf)(const std::uint16_t* in, int rows, int headDim, const float* cos, const float* sin, int pairs,
                   std::uint16_t* out);
  void (*turnInterleaved)(const std::uint16_t* in, int rows, int headDim, const float* cos, const float* sin, int pairs,
                          std::uint16_t* out);
  // sums[0] += |x - stored|^2, sums[1] += |x|^2.
  void (*addSquaresF16)(const float* x, const std::uint16_t* stored, int count, double* sums);
  void (*addSquaresF32)(const float* x, const float* stored, int count, double* sums);
  void (*siluGate)(const float* gate, const float* up, int count, float* out);
};

extern const Kernels kernelsScalar;
extern const Kernels kernelsAvx2;
extern const Kernels kernelsAvx512;
extern const Kernels kernelsNeon;

const Kernels& kernelsFor(Isa isa);

}  // namespace kvasir::rows
