/* Plain data that several ops take. All pointers are device addresses; the layouts are those of kvasir/attention.h. */
#ifndef KVASIR_GPU_ARGS_VIEWS_H
#define KVASIR_GPU_ARGS_VIEWS_H

#include <stddef.h>
#include <stdint.h>

enum { KVASIR_PAGE_TOKENS = 16 };
enum { KVASIR_F16 = 0, KVASIR_F32 = 1 };

/* Canonical pages [page][layer][kvHead][K|V][16 tokens][headDim] through strides in bytes; rows of whole 16 bytes. */
typedef struct KvasirKvView {
  uint8_t* base;
  size_t pageStride;
  size_t layerStride;
  size_t headStride;
  size_t valueStride; /* from a head's K rows to its V rows */
  int32_t type;       /* KVASIR_F16 or KVASIR_F32 */
  int32_t numKvHeads;
  int32_t headDim;
} KvasirKvView;

/* Sequence s owns rows [rowStarts[s], rowStarts[s + 1]) and holds contextTokens[s] KV rows; see kvasir::Batch. */
typedef struct KvasirBatch {
  int32_t numSequences;
  int32_t numRows;              /* rowStarts[numSequences], known without reading the device */
  const int32_t* rowStarts;     /* [numSequences + 1] */
  const int32_t* contextTokens; /* [numSequences] */
  const int32_t* pageStarts;    /* [numSequences + 1] */
  const int32_t* pages;
  const int32_t* positions; /* [numRows] or null: a sequence's rows are its last ones */
} KvasirBatch;

/* `page` counts the pages of the sequence in order; a run never crosses a page. */
typedef struct KvasirKvRun {
  int32_t page;
  int32_t first;
  int32_t len;
} KvasirKvRun;

/* CSR of runs, one row a (sequence, KV head) or one a (sequence, query head); runs of a row ascend, disjoint. */
typedef struct KvasirRunRows {
  const int32_t* rowStarts;
  const KvasirKvRun* runs;
  int32_t perQueryHead;
} KvasirRunRows;

/* Rows of one layer by their slots, physicalPage * 16 + offset. */
typedef struct KvasirSlotRows {
  KvasirKvView kv;
  int32_t layer;
  const int32_t* slots;
} KvasirSlotRows;

enum { KVASIR_PAIRS_HALF = 0, KVASIR_PAIRS_INTERLEAVED = 1 };

#endif
