/* writeTiered: writeKv into the pages of a tiered cache, and into the slots of the rows that have one. */
#ifndef KVASIR_GPU_ARGS_WRITE_TIERED_H
#define KVASIR_GPU_ARGS_WRITE_TIERED_H

#include "hot_rows.h"

typedef struct KvasirWriteTieredArgs {
  KvasirSlotRows to; /* f16 pages in mapped host memory; slots distinct, a negative one leaves its row out */
  KvasirHotRows hot;
  const float* keys;
  const float* values;
  int32_t rows;
} KvasirWriteTieredArgs;

#endif
