/* prepareRows: what nearestRows wants to know of f32 rows: their lengths, and f16 of each row at length
 * KVASIR_PREPARED_LENGTH (0 for zeros). */
#ifndef KVASIR_GPU_ARGS_PREPARE_ROWS_H
#define KVASIR_GPU_ARGS_PREPARE_ROWS_H

#include "views.h"

#define KVASIR_PADDED_DIM(dim) (((dim) + 31) / 32 * 32)
/* Far enough from subnormal numbers, and from the largest. */
enum { KVASIR_PREPARED_LENGTH = 256 };

typedef struct KvasirPrepareRowsArgs {
  const float* x; /* [rows][dim] */
  int32_t rows;
  int32_t dim;      /* a multiple of 4 */
  uint16_t* halves; /* [rows][KVASIR_PADDED_DIM(dim)], zeros at the end */
  float* lengths;   /* [rows] */
} KvasirPrepareRowsArgs;

#endif
