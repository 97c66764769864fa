/* attendRuns: decode attention over ragged lists, as attendRuns of kvasir/attention.h. q, out [numSequences][numHeads][headDim],
 * lse [numSequences][numHeads] natural log; an empty list gives out = 0, lse = -inf. headDim is a multiple of 16 up to 256.
 * A query head's bits depend on its q and its own list alone: a list is cut by its own number of tokens, into parts of
 * KVASIR_SPLIT_TOKENS, or KVASIR_LONG_SPLIT_TOKENS where it has more than KVASIR_LONG_LIST_TOKENS. */
#ifndef KVASIR_GPU_ARGS_ATTEND_RUNS_H
#define KVASIR_GPU_ARGS_ATTEND_RUNS_H

#include "views.h"

enum {
  KVASIR_SPLIT_TOKENS = 128,
  KVASIR_LONG_SPLIT_TOKENS = 512,
  KVASIR_LONG_LIST_TOKENS = 2048,
  KVASIR_QUERY_HEADS = 8 /* that share the rows a block reads; larger groups read them once for each eight */
};

typedef struct KvasirAttendRunsArgs {
  KvasirKvView kv;
  int32_t layer;
  const float* q;
  int32_t numHeads;
  float scale;
  int32_t numSequences;
  const int32_t* pageStarts; /* [numSequences + 1], unused with keys */
  const int32_t* pages;
  KvasirRunRows rows;
  /* The K rows one by one in place of runs, in device or mapped host memory: rows.rowStarts count addresses then. V rows lie
   * kv.valueStride behind. Null: rows.runs. */
  const uint8_t* const* keys;
  int32_t maxTokens; /* no list has more (one that does gives NaN); the closer, the fewer idle blocks */
  int32_t exact;     /* f16 pages: 1 computes in float32 throughout, slower; 0: q in two float16, weights in one */
  float* out;
  float* lse;      /* or null */
  void* workspace; /* the first kvasirAttendTicketBytes of it 0 before its first use; each call leaves them so */
  size_t workspaceBytes;
} KvasirAttendRunsArgs;

/* Parts that a list of at most `maxTokens` tokens is cut into. */
static inline int32_t kvasirAttendSplits(int32_t maxTokens) {
  const int32_t longest = maxTokens < KVASIR_LONG_LIST_TOKENS ? maxTokens : KVASIR_LONG_LIST_TOKENS;
  const int32_t few = (longest + KVASIR_SPLIT_TOKENS - 1) / KVASIR_SPLIT_TOKENS;
  const int32_t many = (maxTokens + KVASIR_LONG_SPLIT_TOKENS - 1) / KVASIR_LONG_SPLIT_TOKENS;
  return few > many ? few : many;
}

/* numRows: lists, one a (sequence, KV head) or one a (sequence, query head); group: query heads a list. */
static inline size_t kvasirAttendTicketBytes(int32_t numRows, int32_t group) {
  const size_t tickets = (size_t)numRows * (size_t)((group + KVASIR_QUERY_HEADS - 1) / KVASIR_QUERY_HEADS);
  return (tickets * sizeof(uint32_t) + 15) / 16 * 16;
}

static inline size_t kvasirAttendWorkspaceBytes(int32_t numRows, int32_t group, int32_t headDim, int32_t maxTokens) {
  const size_t parts = (size_t)numRows * (size_t)group * (size_t)kvasirAttendSplits(maxTokens);
  return kvasirAttendTicketBytes(numRows, group) + parts * ((size_t)headDim + 2) * sizeof(float);
}

#endif
