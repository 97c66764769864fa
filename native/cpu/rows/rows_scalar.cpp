// The plain bodies.
#include <cmath>

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

void siluGate(const float* gate, const float* up, int count, float* out) {
  for (int i = 0; i < count; ++i) {
    const float fade = std::exp(-std::fabs(gate[i]));  // <= 1, so nothing overflows
    const float numerator = gate[i] < 0.0f ? fade : 1.0f;
    out[i] = gate[i] * (numerator / (1.0f + fade)) * up[i];
  }
}

}  // namespace

const Kernels kernelsScalar = {rmsNorm, rotateHalf, rotateInterleaved, siluGate};

}  // namespace kvasir::rows
