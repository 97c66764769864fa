/* contextProbe: runs every operation that kernels are built from once, one block a case, so that a test can compare the
 * machine with plain loops. Not for use. */
#ifndef KVASIR_GPU_ARGS_CONTEXT_PROBE_H
#define KVASIR_GPU_ARGS_CONTEXT_PROBE_H

#include "views.h"

enum {
  KVASIR_PROBE_BLOCKS = 4,
  KVASIR_PROBE_WARPS = 2,
  /* floats a warp: mma c [16][8], then 10 of 32 lanes: see ops/context_probe.h */
  KVASIR_PROBE_FLOATS = 128 + 320,
  /* words a warp: ldmatrix of 4 [4][32], transposed [4][32], then 4 of 32 lanes: ballot, two halves, scan, transpose */
  KVASIR_PROBE_WORDS = 256 + 128
};

typedef struct KvasirContextProbeArgs {
  const uint16_t* a;  /* [blocks][warps][16][16] f16 */
  const uint16_t* b;  /* [blocks][warps][8][16] f16, column by column */
  const float* c;     /* [blocks][warps][16][8] */
  const float* lanes; /* [blocks][warps][32] */
  float* floats;      /* [blocks][warps][KVASIR_PROBE_FLOATS] */
  uint32_t* words;    /* [blocks][warps][KVASIR_PROBE_WORDS] */
  uint32_t* ticket;   /* [1], 0 before and after */
  uint32_t* taken;    /* [blocks][warps * 32]: block + thread */
  uint32_t* sums;     /* [warps * 32]: by the last block, sum over blocks of taken[block][(thread + block) % (warps * 32)] */
} KvasirContextProbeArgs;

#endif
