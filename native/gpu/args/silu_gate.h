/* siluGate: out = silu(gate) * up over rows of dim values (Shazeer 2020). */
#ifndef KVASIR_GPU_ARGS_SILU_GATE_H
#define KVASIR_GPU_ARGS_SILU_GATE_H

#include "weights.h"

typedef struct KvasirSiluGateArgs {
  const float* gate; /* [rows][dim] */
  const float* up;
  int32_t rows;
  int32_t dim;
  float* out;                  /* as gate, may be gate; null: only `prepared` is wanted */
  KvasirHalfRows prepared; /* out as linear's fast mode takes it, or none */
} KvasirSiluGateArgs;

#endif
