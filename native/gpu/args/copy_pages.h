/* copyPages: `bytes` from `offset` on of page from.pages[i] to the same place of page to.pages[i]: whole pages (offset 0), one
 * layer (its layerStride times the layer) or any part that all pages share. Offset, bytes and strides are multiples of 16;
 * target pages are distinct, and none of them is read. Either side may be mapped host memory. */
#ifndef KVASIR_GPU_ARGS_COPY_PAGES_H
#define KVASIR_GPU_ARGS_COPY_PAGES_H

#include "views.h"

typedef struct KvasirPages {
  uint8_t* base;
  size_t pageStride;
  const int32_t* pages; /* [count] */
} KvasirPages;

typedef struct KvasirCopyPagesArgs {
  KvasirPages from;
  KvasirPages to;
  int32_t count;
  size_t offset;
  size_t bytes;
  int32_t maxBlocks; /* 0: no bound; a few are enough for the link to the host */
} KvasirCopyPagesArgs;

#endif
