/* attentionWeights: for each KV head of one sequence, the softmax of scale q.k over the rows listed for it alone, in any order,
 * as attentionWeights of kvasir/attention.h, for each query head of its group; all in float32. KV head h has rows
 * indices[starts[h] .. starts[h + 1]) and its answer, [group][rows], begins at out[group * starts[h]].
 * A KV head's bits depend on its queries and its list alone. headDim is a multiple of 16 up to 256. */
#ifndef KVASIR_GPU_ARGS_ATTENTION_WEIGHTS_H
#define KVASIR_GPU_ARGS_ATTENTION_WEIGHTS_H

#include "attend_runs.h"
#include "views.h"

typedef struct KvasirAttentionWeightsArgs {
  KvasirKvView kv;
  int32_t layer;
  const float* q; /* [numHeads][headDim] */
  int32_t numHeads;
  float scale;
  const int32_t* pages;   /* of the sequence */
  const int32_t* starts;  /* [numKvHeads + 1] */
  const int32_t* indices; /* of KV rows of the sequence */
  int32_t maxRows;        /* no list has more: one that does gets no answer */
  float* out;
  void* workspace; /* kvasirAttendTicketBytes(numKvHeads, group), 0 before its first use; each call leaves it so */
  size_t workspaceBytes;
} KvasirAttentionWeightsArgs;

#endif
