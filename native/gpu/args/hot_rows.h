/* The slots of a tiered cache: all rows lie in mapped host memory, in canonical f16 pages; slots in device memory hold some of
 * them. A unit is what a slot holds of one KV head: row (page * numKvHeads + kvHead) * 16 + r, or with `blocks` the 16 rows of
 * a page, page * numKvHeads + kvHead. Slots of one row stand in groups of 16, K rows before V rows: a row's V lies 16 rows
 * behind its K wherever it is. Which unit goes follows from the calls alone: the clock of tier/slot_cache.h. */
#ifndef KVASIR_GPU_ARGS_HOT_ROWS_H
#define KVASIR_GPU_ARGS_HOT_ROWS_H

#include "views.h"

/* Of one layer, since it was made; all 0 at first. */
typedef struct KvasirHotState {
  uint64_t hits;      /* lookups of units: rows, or the blocks of a list */
  uint64_t misses;    /* of lists whose sequence wants no more units than there are slots */
  uint64_t movedRows; /* into slots, or read where they lie; a K row with its V row */
  uint64_t overflows; /* calls that wanted more than the slots hold */
  uint64_t keysRead;  /* K rows that selectRuns read where they lie, before the last call of bringRows */
  uint32_t now;       /* twice the step */
  int32_t hand;
  int32_t filled;     /* slots that hold a unit */
  int32_t brought;    /* units of the last call, for its copies */
  uint32_t tickets[4];
  uint32_t keysReadSince; /* that call */
  uint32_t unused;
} KvasirHotState;

/* Arrays over all layers, 0 at first but for `rows` and `taken`. */
typedef struct KvasirHotRows {
  uint8_t* rows; /* [numLayers], kvasirHotLayerBytes each */
  int32_t numSlots; /* a layer */
  int32_t numUnits; /* that a layer may hold: capacityPages * numKvHeads, times 16 for rows */
  int32_t blocks;
  int32_t* places;  /* [numLayers][numUnits] slot + 1, or 0 */
  uint32_t* units;  /* [numLayers][numSlots] unit + 1, or 0 */
  uint32_t* stamps; /* [numLayers][numSlots] twice the step of the last use, and 1 for a second chance */
  int32_t* taken;   /* [numLayers][numSlots] slots that a call takes */
  KvasirHotState* state; /* [numLayers] */
} KvasirHotRows;

static inline size_t kvasirHotLayerBytes(int32_t numSlots, int32_t blocks, int32_t headDim) {
  const size_t groups = blocks ? (size_t)numSlots : ((size_t)numSlots + KVASIR_PAGE_TOKENS - 1) / KVASIR_PAGE_TOKENS;
  return groups * 2 * KVASIR_PAGE_TOKENS * (size_t)headDim * 2;
}

#endif
