/* nearestRows: the answer of rankRows with every row a candidate. Products of f16 rows rule out what cannot be the nearest;
 * what they leave is compared in f64, so the answer is exact. Rows hold finite numbers whose squares f32 holds too. */
#ifndef KVASIR_GPU_ARGS_NEAREST_ROWS_H
#define KVASIR_GPU_ARGS_NEAREST_ROWS_H

#include "prepare_rows.h"
#include "rank_rows.h"

/* Rows, and what prepareRows made of them. */
typedef struct KvasirPreparedRows {
  const float* x;
  const uint16_t* halves;
  const float* lengths;
  int32_t rows;
} KvasirPreparedRows;

typedef struct KvasirNearestRowsArgs {
  int32_t metric; /* KVASIR_METRIC_* */
  int32_t dim;    /* a multiple of 4, at most 8192 */
  KvasirPreparedRows queries;
  KvasirPreparedRows rows;
  float threshold;
  int32_t* indices; /* [queries.rows] */
  float* values;    /* [queries.rows] */
  void* workspace;  /* kvasirNearestRowsBytes of it */
  size_t workspaceBytes;
} KvasirNearestRowsArgs;

enum { KVASIR_NEAREST_TILE = 128, KVASIR_NEAREST_KEPT = 64 };

/* Slices of the rows that are searched apart, so that few queries fill a device too. */
static inline int32_t kvasirNearestRowsSlices(int32_t rows, int32_t numQueries) {
  const int32_t blocks = (numQueries + KVASIR_NEAREST_TILE - 1) / KVASIR_NEAREST_TILE;
  const int32_t wanted = blocks > 0 ? (264 + blocks - 1) / blocks : 1, useful = rows / (4 * KVASIR_NEAREST_TILE);
  const int32_t slices = wanted < useful ? wanted : useful;
  return slices < 1 ? 1 : slices;
}

/* A bound and a count a (slice, query), then what it keeps: an index and a bound each. */
static inline size_t kvasirNearestRowsBytes(int32_t rows, int32_t numQueries) {
  return (size_t)kvasirNearestRowsSlices(rows, numQueries) * (size_t)numQueries * (8 + 8 * KVASIR_NEAREST_KEPT);
}

#endif
