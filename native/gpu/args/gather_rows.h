/* gatherRows: out[r] = x[ids[r]], rows of rowBytes (a multiple of 16) at strides of multiples of 16. */
#ifndef KVASIR_GPU_ARGS_GATHER_ROWS_H
#define KVASIR_GPU_ARGS_GATHER_ROWS_H

#include "views.h"

typedef struct KvasirGatherRowsArgs {
  const void* x;
  size_t xStride;
  const int32_t* ids; /* [rows] */
  int32_t rows;
  void* out;
  size_t outStride;
  size_t rowBytes;
  int32_t maxBlocks; /* 0: no bound */
} KvasirGatherRowsArgs;

#endif
