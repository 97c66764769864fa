/* nearestCodes: the `count` rows of a table of codes with the least distance to each query, at most maxDistance, nearest first
 * and of equal ones the lower index, as nearestCodes of kvasir/lsh.h; -1 where there are fewer. Codes lie row by row, as
 * hashRows writes them. */
#ifndef KVASIR_GPU_ARGS_NEAREST_CODES_H
#define KVASIR_GPU_ARGS_NEAREST_CODES_H

#include "hash_rows.h"

enum { KVASIR_DISTANCE_HAMMING = 0, KVASIR_DISTANCE_L1 = 1 };
enum { KVASIR_MAX_NEAREST = 256 };

typedef struct KvasirNearestCodesArgs {
  int32_t distance; /* KVASIR_DISTANCE_* */
  int32_t words;    /* of 64 bits, a code; at most KVASIR_MAX_HASHES / 8 */
  const uint8_t* codes; /* [rows][words * 8] */
  int32_t rows;
  const uint8_t* queries; /* [numQueries][words * 8] */
  int32_t numQueries;
  int32_t count; /* at most KVASIR_MAX_NEAREST */
  int32_t maxDistance;
  int32_t* indices;   /* [numQueries][count] */
  int32_t* distances; /* [numQueries][count] */
  void* workspace;    /* kvasirNearestCodesBytes of it */
  size_t workspaceBytes;
} KvasirNearestCodesArgs;

/* Queries of a block, and slices of the table that are searched apart so that few queries fill a device too. */
static inline int32_t kvasirNearestCodesQueries(int32_t count) { return count <= 64 ? 32 : 8; }
static inline int32_t kvasirNearestCodesSlices(int32_t rows, int32_t numQueries, int32_t count) {
  const int32_t perBlock = kvasirNearestCodesQueries(count), blocks = (numQueries + perBlock - 1) / perBlock;
  const int32_t wanted = blocks > 0 ? (528 + blocks - 1) / blocks : 1, useful = rows / 1024, bound = 16384 / (count > 0 ? count : 1);
  const int32_t slices = wanted < useful ? wanted : useful;
  return slices < 1 ? 1 : slices < bound ? slices : bound;
}

static inline size_t kvasirNearestCodesBytes(int32_t rows, int32_t numQueries, int32_t count) {
  const int32_t slices = kvasirNearestCodesSlices(rows, numQueries, count);
  return slices > 1 ? (size_t)slices * (size_t)numQueries * (size_t)count * 8 : 0;
}

#endif
