// What an instruction set supplies for the row-wise ops.
#pragma once

#include "kvasir/rows.h"

namespace kvasir::rows {

struct CopyTask {
  const std::uint8_t* in;
  std::uint8_t* out;
  std::size_t bytes;
  const std::uint8_t* next;  // as many bytes that are read soon
  bool streams;              // past the caches: out is aligned to 64 bytes, and `bytes` a multiple of them
};

// Rows [rows][headDim]: the first 2 * pairs values of each turned by cos, sin [pairs], the rest copied.
struct TurnTask {
  const std::uint16_t* in;
  std::uint16_t* out;
  int rows;
  int headDim;
  const float* cos;
  const float* sin;
  int pairs;
  const std::uint8_t* next;  // as many bytes that are read soon
  bool streams;              // past the caches: rows are aligned to 64 bytes, pairs a multiple of 16
};

struct Kernels {
  void (*rmsNorm)(const float* x, const float* weight, float eps, int dim, float* out);
  // Both pairings over one head; cos, sin [pairs].
  void (*rotateHalf)(float* x, const float* cos, const float* sin, int pairs);
  void (*rotateInterleaved)(float* x, const float* cos, const float* sin, int pairs);
  // Both pairings over rows of float16.
  void (*turnHalf)(const TurnTask& task);
  void (*turnInterleaved)(const TurnTask& task);
  void (*copyRows)(const CopyTask& task);
  // What went past the caches is there for all threads.
  void (*settle)();
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
