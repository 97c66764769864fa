/* quantiseKv: whole pages of layers [firstLayer, firstLayer + numLayers), page fromPages[i] of `from` to page toPages[i] of `to`.
 * K: zero is the channel's least value of the page, or the next float16 below; scale the least float16 with which 255 steps reach
 * its largest. V: 127 steps reach the token's largest magnitude. Nearest, ties to even; so no value is off by more than
 * half a step. Values that are not finite count as 0 and are counted. */
#ifndef KVASIR_GPU_ARGS_QUANTISE_KV_H
#define KVASIR_GPU_ARGS_QUANTISE_KV_H

#include "i8_pages.h"

typedef struct KvasirQuantiseKvArgs {
  KvasirKvView from;
  KvasirI8View to;
  int32_t firstLayer;
  int32_t numLayers;
  const int32_t* fromPages; /* [pages] */
  const int32_t* toPages;   /* [pages], distinct */
  int32_t pages;
  uint32_t* notFinite; /* [1], grows by the number of such values */
} KvasirQuantiseKvArgs;

#endif
