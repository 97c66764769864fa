/* embedRows: out[i] = row ids[i] of the table as float32, exactly the values that its format defines. */
#ifndef KVASIR_GPU_ARGS_EMBED_ROWS_H
#define KVASIR_GPU_ARGS_EMBED_ROWS_H

#include "weights.h"

typedef struct KvasirEmbedRowsArgs {
  KvasirWeight table;
  const int32_t* ids; /* [rows] */
  int32_t rows;
  float* out;       /* [rows][outStride] */
  size_t outStride; /* in floats */
} KvasirEmbedRowsArgs;

#endif
