// The plain bodies.
#include <cmath>
#include <cstring>

#include "../simd/half.h"
#include "kernels.h"
#include "rotate.inl"

namespace kvasir::rows {
namespace {

void rmsNorm(const float* x, const float* weight, float eps, int dim, float* out) {
  double squares = 0.0;
  for (int i = 0; i < dim; ++i) squares += static_cast<double>(x[i]) * x[i];
  const float inverse = static_cast<float>(1.0 / std::sqrt(squares / dim + eps));
  for (int i = 0; i < dim; ++i) out[i] = x[i] * inverse * weight[i];
}

// Pair i is (i * step, i * step + apart).
void turnRows(const TurnTask& task, int step, int apart) {
  const std::uint16_t* in = task.in;
  std::uint16_t* out = task.out;
  for (int row = 0; row < task.rows; ++row, in += task.headDim, out += task.headDim) {
    for (int i = 0; i < task.pairs; ++i) {
      const float a = halfToFloat(in[i * step]), b = halfToFloat(in[i * step + apart]);
      out[i * step] = floatToHalf(a * task.cos[i] - b * task.sin[i]);
      out[i * step + apart] = floatToHalf(b * task.cos[i] + a * task.sin[i]);
    }
    for (int i = 2 * task.pairs; i < task.headDim; ++i) out[i] = in[i];
  }
}

void turnHalf(const TurnTask& task) { turnRows(task, 1, task.pairs); }
void turnInterleaved(const TurnTask& task) { turnRows(task, 2, 1); }
void copyRows(const CopyTask& task) { std::memcpy(task.out, task.in, task.bytes); }
void settle() {}

float numberOf(std::uint16_t half) { return halfToFloat(half); }
float numberOf(float x) { return x; }

template <class T>
void addSquares(const float* x, const T* stored, int count, double* sums) {
  for (int i = 0; i < count; ++i) {
    const double value = x[i], apart = value - numberOf(stored[i]);
    sums[0] += apart * apart;
    sums[1] += value * value;
  }
}

void siluGate(const float* gate, const float* up, int count, float* out) {
  for (int i = 0; i < count; ++i) {
    const float fade = std::exp(-std::fabs(gate[i]));  // <= 1, so nothing overflows
    const float numerator = gate[i] < 0.0f ? fade : 1.0f;
    out[i] = gate[i] * (numerator / (1.0f + fade)) * up[i];
  }
}

}  // namespace

const Kernels kernelsScalar = {rmsNorm, rotateHalf, rotateInterleaved, turnHalf, turnInterleaved, copyRows, settle,
                               addSquares<std::uint16_t>,
                               addSquares<float>, siluGate};

}  // namespace kvasir::rows
