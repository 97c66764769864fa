/* attendRunsI8: attendRuns over pages of eight bits, of the values that they stand for: what the scales and zeros of a page
 * cost is paid once a page. q [numSequences][numHeads][headDim], out, lse as there; float16 pages besides are another call,
 * and mergeStates. A list is cut by the number of pages that it touches: as attendRuns' lists of 16 times as many tokens. */
#ifndef KVASIR_GPU_ARGS_ATTEND_RUNS_I8_H
#define KVASIR_GPU_ARGS_ATTEND_RUNS_I8_H

#include "attend_runs.h"
#include "i8_pages.h"

typedef struct KvasirAttendRunsI8Args {
  KvasirI8View kv;
  int32_t layer;
  const float* q;
  int32_t numHeads;
  float scale;
  int32_t numSequences;
  const int32_t* pageStarts; /* [numSequences + 1] */
  const int32_t* pages;
  KvasirRunRows rows;
  int32_t maxPages; /* no list touches more (one that does gives NaN) */
  float* out;
  float* lse;      /* or null */
  void* workspace; /* kvasirAttendWorkspaceBytes of 16 maxPages tokens; its tickets 0 before its first use */
  size_t workspaceBytes;
} KvasirAttendRunsI8Args;

#endif
