/* rankRows: the candidate of each query that is nearest by its vector, as rankRows of kvasir/lsh.h: of equal values the lower
 * index, -1 and NaN where none is within the threshold. Sums are f64. */
#ifndef KVASIR_GPU_ARGS_RANK_ROWS_H
#define KVASIR_GPU_ARGS_RANK_ROWS_H

#include "views.h"

enum { KVASIR_METRIC_COSINE = 0, KVASIR_METRIC_L2 = 1 };

typedef struct KvasirRankRowsArgs {
  int32_t metric; /* KVASIR_METRIC_* */
  int32_t dim;    /* a multiple of 4 */
  const float* queries; /* [numQueries][dim] */
  int32_t numQueries;
  const float* rows;         /* [.][dim] */
  const int32_t* candidates; /* [numQueries][count], indices of rows; negative ones are passed over */
  int32_t count;
  float threshold; /* what is farther is not taken */
  int32_t* indices; /* [numQueries] */
  float* values;    /* [numQueries] */
} KvasirRankRowsArgs;

#endif
