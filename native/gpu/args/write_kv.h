/* writeKv: K and V rows [rows][numKvHeads][headDim] f32 -> slots of one layer, as writeKv of kvasir/attention.h: f16 rounds to
 * nearest even and saturates to the largest finite value. Slots are distinct; a negative one leaves its row out. Stored rows
 * are whole 16 bytes. */
#ifndef KVASIR_GPU_ARGS_WRITE_KV_H
#define KVASIR_GPU_ARGS_WRITE_KV_H

#include "views.h"

typedef struct KvasirWriteKvArgs {
  KvasirSlotRows to;
  const float* keys;
  const float* values;
  int32_t rows;
} KvasirWriteKvArgs;

#endif
