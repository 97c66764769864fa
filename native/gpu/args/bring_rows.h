/* bringRows: a decode step's rows of one layer into slots (hot_rows.h), and where each of them lies. Lists are those of
 * attendRuns, made by the host or the device; starts and keys are what it takes as rows.rowStarts and keys, with kv.valueStride.
 *
 * Rows in slots stay there. The others take slots, empty ones first, then by the clock; none that this call reads. A unit
 * that several lists name moves once. What finds no slot, and what a sequence lacks that wants more units than there are
 * slots, is read where it lies. Slots and counts follow from the calls alone. */
#ifndef KVASIR_GPU_ARGS_BRING_ROWS_H
#define KVASIR_GPU_ARGS_BRING_ROWS_H

#include "hot_rows.h"

typedef struct KvasirBringRowsArgs {
  KvasirKvView kv; /* f16 pages in mapped host memory; valueStride 16 rows */
  int32_t layer;
  int32_t numHeads;
  KvasirHotRows hot;
  int32_t numSequences;
  const int32_t* pageStarts; /* [numSequences + 1] */
  const int32_t* pages;
  KvasirRunRows rows;
  int32_t maxTokens;     /* no list has more: of one that does the rest is left out */
  int32_t maxBlocks;     /* that copy; 0: as many as fill the link to the host */
  const uint8_t** keys;  /* out [lists * maxTokens] */
  int32_t* starts;       /* out [lists + 1] */
  void* workspace;
  size_t workspaceBytes;
} KvasirBringRowsArgs;

static inline size_t kvasirBringRowsWorkspaceBytes(int32_t numLists, int32_t numSequences, int32_t maxTokens) {
  const size_t ints = 7 * (size_t)numLists + 1 + (size_t)numSequences + 3 * (size_t)numLists * (size_t)maxTokens;
  return ints * sizeof(int32_t);
}

#endif
