/* attendPrefill: causal attention of prefilled rows over paged KV, as attendPrefill of kvasir/attention.h. q, out
 * [numRows][numHeads][headDim], lse [numRows][numHeads] natural log or null. windowTokens > 0: a row at index i reads indices in
 * (i - windowTokens, i]. Positions of a sequence's rows ascend. headDim <= 256, rows of whole 16 bytes; at most 32 query heads
 * a KV head, 16 where headDim > 128. f16 pages with headDim a multiple of 16 are computed on tensor cores: q and weights in float16, sums in float32.
 * A row's bits depend on its own q and the KV rows that it sees (which are finite): not on the batch, the other rows, or the workspace. Keys are
 * taken in tiles counted from index 0, and states of KVASIR_PREFILL_CHUNK keys, counted so too, are merged in order. */
#ifndef KVASIR_GPU_ARGS_ATTEND_PREFILL_H
#define KVASIR_GPU_ARGS_ATTEND_PREFILL_H

#include "views.h"

enum {
  KVASIR_PREFILL_CHUNK = 1024,
  KVASIR_PREFILL_MOST_PARTS = 2048 /* (tile of queries, KV head, chunk) that are worked on side by side */
};

typedef struct KvasirAttendPrefillArgs {
  KvasirKvView kv;
  int32_t layer;
  const float* q;
  int32_t numHeads;
  float scale;
  int32_t windowTokens;
  KvasirBatch batch;
  int32_t maxTokens; /* no sequence holds more KV rows: with a workspace, rows of one that does become NaN */
  int32_t exact;     /* f16 pages: 1 computes in float32 throughout, slower */
  float* out;
  float* lse;
  /* Few rows over many keys: with it the chunks of a row are worked on side by side. Its first kvasirAttendPrefillTicketBytes
   * are 0 before its first use; each call leaves them so. Null: not side by side. */
  void* workspace;
  size_t workspaceBytes;
} KvasirAttendPrefillArgs;

/* Tiles of at most `lanes` (row, query head) pairs, in whole rows, that a KV head's queries are cut into at most. */
static inline int32_t kvasirQueryTiles(int32_t numRows, int32_t numSequences, int32_t group, int32_t lanes) {
  return numRows / (lanes / group) + numSequences;
}

static inline int32_t kvasirPrefillChunks(int32_t maxTokens) {
  return (maxTokens + KVASIR_PREFILL_CHUNK - 1) / KVASIR_PREFILL_CHUNK;
}

static inline size_t kvasirAttendPrefillTicketBytes(int32_t numRows, int32_t numSequences, int32_t numHeads, int32_t numKvHeads) {
  const size_t tiles = (size_t)kvasirQueryTiles(numRows, numSequences, numHeads / numKvHeads, 64);
  return (tiles * (size_t)numKvHeads * sizeof(uint32_t) + 15) / 16 * 16;
}

/* 0 where a workspace would not be used. Arguments as attendPrefill accepts them. */
static inline size_t kvasirAttendPrefillWorkspaceBytes(int32_t numRows, int32_t numSequences, int32_t numHeads, int32_t numKvHeads,
                                                       int32_t headDim, int32_t maxTokens) {
  const size_t tiles = (size_t)kvasirQueryTiles(numRows, numSequences, numHeads / numKvHeads, 64);
  const size_t chunks = (size_t)kvasirPrefillChunks(maxTokens), parts = tiles * (size_t)numKvHeads * chunks;
  if (chunks < 2 || parts > KVASIR_PREFILL_MOST_PARTS) return 0;
  return kvasirAttendPrefillTicketBytes(numRows, numSequences, numHeads, numKvHeads) +
         parts * 64 * ((size_t)headDim + 2) * sizeof(float);
}

#endif
