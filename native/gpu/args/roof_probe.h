/* roofProbe: work of which nothing but the machine sets the pace, for ratios to it. Not for use.
 * EMPTY: nothing. READ: the exclusive or of all 16-byte words of `from`, each block's threads one each. MULTIPLY: `rounds`
 * rounds of KVASIR_ROOF_PRODUCTS products m16n8k16 of f16 into f32 a warp, of operands that lie in registers;
 * KVASIR_ROOF_FLOP each. */
#ifndef KVASIR_GPU_ARGS_ROOF_PROBE_H
#define KVASIR_GPU_ARGS_ROOF_PROBE_H

#include "views.h"

enum { KVASIR_ROOF_EMPTY = 0, KVASIR_ROOF_READ = 1, KVASIR_ROOF_MULTIPLY = 2 };
enum { KVASIR_ROOF_THREADS = 256, KVASIR_ROOF_PRODUCTS = 16, KVASIR_ROOF_FLOP = 2 * 16 * 8 * 16 };

typedef struct KvasirRoofProbeArgs {
  int32_t kind;   /* KVASIR_ROOF_* */
  int32_t blocks; /* > 0 */
  /* READ: [bytes], may be mapped host memory. MULTIPLY: [blocks][KVASIR_ROOF_THREADS][24] words, each two f16. */
  const void* from;
  size_t bytes;   /* READ: a multiple of 16 */
  int32_t rounds; /* MULTIPLY */
  /* [blocks][KVASIR_ROOF_THREADS][4] words: READ the words' parts, MULTIPLY sums of c as f32. EMPTY: not written. */
  uint32_t* out;
} KvasirRoofProbeArgs;

#endif
