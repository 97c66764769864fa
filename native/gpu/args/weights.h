/* Weight matrices on a device, and activations prepared for them. */
#ifndef KVASIR_GPU_ARGS_WEIGHTS_H
#define KVASIR_GPU_ARGS_WEIGHTS_H

#include <stddef.h>
#include <stdint.h>

/* GGUF's tensor type ids, as kvasir::WeightType. */
enum {
  KVASIR_WEIGHT_F32 = 0,
  KVASIR_WEIGHT_F16 = 1,
  KVASIR_WEIGHT_Q4_0 = 2,
  KVASIR_WEIGHT_Q4_1 = 3,
  KVASIR_WEIGHT_Q5_0 = 6,
  KVASIR_WEIGHT_Q5_1 = 7,
  KVASIR_WEIGHT_Q8_0 = 8,
  KVASIR_WEIGHT_Q2_K = 10,
  KVASIR_WEIGHT_Q3_K = 11,
  KVASIR_WEIGHT_Q4_K = 12,
  KVASIR_WEIGHT_Q5_K = 13,
  KVASIR_WEIGHT_Q6_K = 14,
  KVASIR_WEIGHT_IQ4_NL = 20,
  KVASIR_WEIGHT_BF16 = 30
};

/* W [rows = out features][cols = in features] as weights/pack.h makes it of GGUF rows. */
typedef struct KvasirWeight {
  const void* data; /* 16-byte aligned */
  int32_t type;     /* KVASIR_WEIGHT_* */
  int32_t rows;
  int32_t cols;
} KvasirWeight;

/* Activation rows for the fast mode of linear: row r is scales[r] * halves[r], scales[r] a power of two that puts the row's
 * largest magnitude into [2^14, 2^15). Columns behind the last one are zero; a row that holds NaN or an infinity is NaN. */
typedef struct KvasirHalfRows {
  uint16_t* halves; /* [rows][kvasirHalfCols(cols)] f16, 16-byte aligned; null: none */
  float* scales;    /* [rows] */
} KvasirHalfRows;

static inline int32_t kvasirHalfCols(int32_t cols) { return (int32_t)(((int64_t)cols + 63) / 64 * 64); }

#endif
