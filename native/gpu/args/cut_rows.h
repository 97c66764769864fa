/* cutRows: which values a budget keeps, as chooseBudget of the reference says. Set b has `rows` rows of values; entry i of a
 * row belongs to token tokens[...][i] (ascending), or i where tokens is null; negative values are no candidates. Not joint:
 * a row keeps its best wanted[row]; joint: its best wanted[row] / 4, rounded down, and the rest of the set's sum of `wanted`
 * goes to the best remaining of any of its rows. Equal values: the lower token, then the lower row. Of `wanted` no more counts
 * than a row has candidates. Values are below 2^127 and no NaN. */
#ifndef KVASIR_GPU_ARGS_CUT_ROWS_H
#define KVASIR_GPU_ARGS_CUT_ROWS_H

#include "views.h"

enum { KVASIR_CUT_MAX_ROWS = 40 };

typedef struct KvasirCutRowsArgs {
  const float* values;   /* [sets][rows][stride] */
  const int32_t* tokens; /* the same or null */
  const int32_t* counts; /* [sets][rows] */
  const int32_t* wanted; /* [sets][rows] */
  int32_t sets;
  int32_t rows;      /* at most KVASIR_CUT_MAX_ROWS */
  int32_t stride;
  int32_t maxTokens; /* no token is as large */
  int32_t joint;
  int32_t* kept;       /* [sets][rows][stride] tokens, ascending */
  int32_t* keptCounts; /* [sets][rows] */
  uint64_t* workspace; /* [sets][rows] */
} KvasirCutRowsArgs;

#endif
