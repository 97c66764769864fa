/* rmsNorm: out[r][g] = x[r][g] / rms(x[r][g]) * weight over vectors of dim values, rms with eps under the root (Zhang and
 * Sennrich 2019). A vector's bits depend on itself alone. */
#ifndef KVASIR_GPU_ARGS_RMS_NORM_H
#define KVASIR_GPU_ARGS_RMS_NORM_H

#include "weights.h"

typedef struct KvasirRmsNormArgs {
  const float* x;      /* [rows][groups][dim] */
  const float* weight; /* [dim] */
  float eps;
  int32_t rows;
  int32_t groups;
  int32_t dim;
  float* out;                  /* as x, may be x; null: only `prepared` is wanted */
  KvasirHalfRows prepared; /* of one group: out as linear's fast mode takes it, or none */
} KvasirRmsNormArgs;

#endif
