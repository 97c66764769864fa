/* linear: out (+)= x W^T + bias for parts that share x, as kvasir/linear.h. Prefill and decode are two bodies; within one
 * (path, mode) an output row depends on its input row and the weights only: not on how many rows there are.
 *   exact: f32 activations, weights as the format defines them, f32 sums.
 *   fast:  f16 activations scaled by rows, weights rounded to f16 (so below 65504), f32 sums. */
#ifndef KVASIR_GPU_ARGS_LINEAR_H
#define KVASIR_GPU_ARGS_LINEAR_H

#include "weights.h"

enum { KVASIR_LINEAR_PARTS = 4 };
enum { KVASIR_LINEAR_PREFILL = 0, KVASIR_LINEAR_DECODE = 1 };
enum { KVASIR_LINEAR_EXACT = 0, KVASIR_LINEAR_FAST = 1 };

typedef struct KvasirLinearPart {
  KvasirWeight weight; /* all parts share cols */
  const float* bias;   /* [weight.rows] or null */
  float* out;          /* [rows][outStride], not x */
  size_t outStride;    /* in floats */
  int32_t accumulate;  /* out += y in place of out = y */
} KvasirLinearPart;

typedef struct KvasirLinearArgs {
  const float* x; /* [rows][xStride]; fast: null where `prepared` holds it already */
  size_t xStride; /* in floats */
  int32_t rows;
  int32_t numParts;
  KvasirLinearPart parts[KVASIR_LINEAR_PARTS];
  int32_t path;
  int32_t mode;
  KvasirHalfRows prepared; /* fast: x as f16, written here where x is given */
} KvasirLinearArgs;

#endif
