/* ropeRows: rotates x [rows][numHeads][headDim] f32 in place, as ropeRows of kvasir/rows.h: pair i of the first rotaryDim
 * values by (cos, sin)[row][i]; headDim is a multiple of 4. */
#ifndef KVASIR_GPU_ARGS_ROPE_ROWS_H
#define KVASIR_GPU_ARGS_ROPE_ROWS_H

#include "views.h"

typedef struct KvasirRopeRowsArgs {
  float* x;
  const float* cos; /* [rows][rotaryDim / 2] */
  const float* sin;
  int32_t rows;
  int32_t numHeads;
  int32_t headDim;
  int32_t rotaryDim;
  int32_t pairing; /* KVASIR_PAIRS_* */
} KvasirRopeRowsArgs;

#endif
