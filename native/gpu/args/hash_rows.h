/* hashRows: out[r] = code of x[r], as hashRows of kvasir/lsh.h. Products are summed in order of dim by fused multiply-add, so
 * codes are those of the CPU's vector levels to the bit. dim is a multiple of 4 (zeros at the end change nothing). */
#ifndef KVASIR_GPU_ARGS_HASH_ROWS_H
#define KVASIR_GPU_ARGS_HASH_ROWS_H

#include "views.h"

enum { KVASIR_HASH_SIGNS = 0, KVASIR_HASH_FLOORS = 1, KVASIR_HASH_PRODUCTS = 2 };
enum { KVASIR_MAX_HASHES = 4096 };

typedef struct KvasirHashRowsArgs {
  int32_t kind;      /* KVASIR_HASH_* */
  int32_t numHashes; /* a multiple of 64 */
  int32_t dim;
  const float* panels;  /* [numHashes / 32][dim][32], as packPlanes leaves them */
  const float* offsets; /* [numHashes], for floors */
  float width;
  const float* x; /* [rows][dim] */
  int32_t rows;
  void* out; /* [rows] of numHashes / 8 bytes of signs, numHashes bytes of floors or numHashes f32 products */
} KvasirHashRowsArgs;

#endif
