/* mergeStates: attention over rows that lie in several places, from (o, lse) of each: out = sum of e^(lse_i - lse) outs_i with
 * lse = ln(sum of e^lse_i) (arXiv 2501.01005, section 2.2). A part without rows has lse = -inf, and its output is not read;
 * where no part has rows out = 0, lse = -inf. One part with rows is returned to the bit. Parts are added in their order. */
#ifndef KVASIR_GPU_ARGS_MERGE_STATES_H
#define KVASIR_GPU_ARGS_MERGE_STATES_H

#include "views.h"

enum { KVASIR_MAX_PARTS = 8 };

typedef struct KvasirMergeStatesArgs {
  const float* outs[KVASIR_MAX_PARTS]; /* [rows][headDim] each, in device or mapped host memory */
  const float* lses[KVASIR_MAX_PARTS]; /* [rows] each, natural log */
  int32_t parts;                       /* 1 to KVASIR_MAX_PARTS */
  int32_t rows;
  int32_t headDim; /* a multiple of 4 */
  float* out;      /* [rows][headDim], may be one of outs */
  float* lse;      /* [rows], may be one of lses; or null */
} KvasirMergeStatesArgs;

#endif
