/* attentionRecovery: AR(tau) of SemShareKV (arXiv 2509.24832): how few of a vector's masses, the largest ones, add up to a share
 * tau of them all. count[v] = smallest k whose k largest of masses[v][0 .. n) reach tau times their sum; 0 where n or the sum is
 * 0. least[v] is the smallest of those k (infinity where k is 0): what is larger is among them, of those equal to it some are.
 * Masses are finite and not negative (else count is -1 and least NaN). They are added as integers of 2^-40 of the smallest power
 * of two that is larger than all, rounded to nearest: sums do not depend on an order, and neither does the answer. */
#ifndef KVASIR_GPU_ARGS_ATTENTION_RECOVERY_H
#define KVASIR_GPU_ARGS_ATTENTION_RECOVERY_H

#include "views.h"

typedef struct KvasirAttentionRecoveryArgs {
  const float* masses; /* [numVectors][stride] */
  size_t stride;
  int32_t numVectors;
  int32_t n;   /* at most 2^22 */
  double tau;  /* (0, 1] */
  int32_t* count; /* [numVectors] */
  float* least;   /* [numVectors] or null */
} KvasirAttentionRecoveryArgs;

#endif
