/* readKv: out [end - start][headDim] f32 = rows [start, end) of one (layer, KV head) of a sequence, K or V, as readKv of
 * kvasir/attention.h. Row `index` lies in physical page pages[index / 16] at index % 16; stored rows are whole 16 bytes. */
#ifndef KVASIR_GPU_ARGS_READ_KV_H
#define KVASIR_GPU_ARGS_READ_KV_H

#include "views.h"

typedef struct KvasirReadKvArgs {
  KvasirKvView kv;
  int32_t layer;
  int32_t kvHead;
  int32_t values; /* 0: K, 1: V */
  const int32_t* pages;
  int32_t start;
  int32_t end;
  float* out;
} KvasirReadKvArgs;

#endif
