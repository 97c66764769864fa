/* attentionMass: mass [numHeads][massStride] += softmax weights that the rows of the batch's one sequence give each KV row,
 * summed over the rows, as attentionMass of kvasir/attention.h; q [numRows][numHeads][headDim]. A row sees what it sees in
 * attendPrefill, and the limits are those. lse [numRows][numHeads], as attendPrefill leaves it, saves a pass over the keys;
 * null: not known. massStride >= maxTokens. Each number is added to once, so that bits depend on the arguments alone. */
#ifndef KVASIR_GPU_ARGS_ATTENTION_MASS_H
#define KVASIR_GPU_ARGS_ATTENTION_MASS_H

#include "attend_prefill.h"

typedef struct KvasirAttentionMassArgs {
  KvasirKvView kv;
  int32_t layer;
  const float* q;
  int32_t numHeads;
  float scale;
  int32_t windowTokens;
  KvasirBatch batch; /* of one sequence */
  int32_t maxTokens; /* it holds no more KV rows */
  int32_t exact;     /* f16 pages: 1 computes in float32 throughout, slower */
  const float* lse;
  float* mass;
  size_t massStride;
  /* kvasirAttentionMassWorkspaceBytes; its first kvasirAttendPrefillTicketBytes (of one sequence) 0 before its first use: each
   * call leaves them so. */
  void* workspace;
  size_t workspaceBytes;
} KvasirAttentionMassArgs;

/* Rows with those that fill up their last tile of 64. */
static inline size_t kvasirMassRows(int32_t numRows) { return ((size_t)numRows + 63) / 64 * 64; }

static inline size_t kvasirAttentionMassWorkspaceBytes(int32_t numRows, int32_t numHeads, int32_t numKvHeads, int32_t headDim,
                                                       int32_t maxTokens) {
  const size_t rows = kvasirMassRows(numRows), heads = (size_t)numHeads;
  /* Partial states or, in their place, tickets alone; then lse, q in float16, its lse in base 2, first and last indices. */
  size_t parts = kvasirAttendPrefillWorkspaceBytes(numRows, 1, numHeads, numKvHeads, headDim, maxTokens);
  if (parts == 0) parts = kvasirAttendPrefillTicketBytes(numRows, 1, numHeads, numKvHeads);
  return parts + rows * heads * (2 * sizeof(float) + (size_t)headDim * 2) + rows * 2 * sizeof(int32_t);
}

#endif
