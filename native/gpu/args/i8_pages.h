/* Pages of KV in eight bits (KIVI, arXiv 2402.02750): one tile a (page, layer, KV head), of 36 headDim + 32 bytes,
 *   K u8 [16][headDim], V i8 [16][headDim], then float16: K scales [headDim], K zeros [headDim], V scales [16]:
 * k = zero_c + scale_c K[t][c], v = scale_t V[t][c]. headDim is a multiple of 32 up to 256; tiles are 16-byte aligned. */
#ifndef KVASIR_GPU_ARGS_I8_PAGES_H
#define KVASIR_GPU_ARGS_I8_PAGES_H

#include "views.h"

typedef struct KvasirI8View {
  uint8_t* base;
  size_t pageStride; /* bytes, multiples of 16 */
  size_t layerStride;
  size_t headStride;
  int32_t numKvHeads;
  int32_t headDim;
} KvasirI8View;

static inline size_t kvasirI8TileBytes(int32_t headDim) { return 36 * (size_t)headDim + 32; }

#endif
