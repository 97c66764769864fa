// Row-wise ops of the graph. All float32, row-major; `rows` may be 0.
#pragma once

#include <cstdint>

#include "kvasir/context.h"

namespace kvasir {

// out[r][g] = x[r][g] / rms(x[r][g]) * weight, rms over `dim` values (Zhang and Sennrich 2019);
// groups > 1: each row holds `groups` vectors of `dim` values that share `weight` (norm of each q or k head). In place is allowed.
void rmsNorm(Context& context, const float* x, const float* weight, float eps, int rows, int groups, int dim, float* out);

enum class RopePairing : int { half = 0, interleaved = 1 };

// Rotates x [rows][numHeads][headDim] in place: pair i of the first rotaryDim values by (cos, sin)[row][i], i < rotaryDim / 2;
// half: (i, i + rotaryDim / 2), interleaved: (2i, 2i + 1). The rest of a head is left alone (Su et al. 2021).
void ropeRows(Context& context, float* x, const float* cos, const float* sin, RopePairing pairing, int rows, int numHeads,
              int headDim, int rotaryDim);

// out = silu(gate) * up, element-wise over rows * dim (Shazeer 2020). In place on gate is allowed.
void siluGate(Context& context, const float* gate, const float* up, int rows, int dim, float* out);

// out[r] = x[ids[r]].
void gatherRows(Context& context, const float* x, const std::int32_t* ids, int rows, int dim, float* out);

}  // namespace kvasir
