/* compareKv: out[r] = (|k - k'| + |v - v'|, |k| + |v|), lengths over all KV heads: row r of keys, values
 * [rows][numKvHeads][headDim] f32 against what slot at.slots[r] holds, as compareKv of kvasir/kv_transfer.h. Stored rows are
 * whole 16 bytes. A row's bits depend on itself alone. */
#ifndef KVASIR_GPU_ARGS_COMPARE_KV_H
#define KVASIR_GPU_ARGS_COMPARE_KV_H

#include "views.h"

typedef struct KvasirCompareKvArgs {
  KvasirSlotRows at;
  const float* keys;
  const float* values;
  int32_t rows;
  float* out; /* [rows][2] */
} KvasirCompareKvArgs;

#endif
