/* encodeSegments: means, radii and codes of segments [firstSegment, numSegments) of one sequence, for all KV heads of
 * layers [firstLayer, firstLayer + numLayers), into an index whose basis, steps and zeros are there; the bits are those of
 * native/cpu/selection/principal_encode.inl. Segment s has tokens [ends[s - 1], ends[s]), the first from 0 on. */
#ifndef KVASIR_GPU_ARGS_ENCODE_SEGMENTS_H
#define KVASIR_GPU_ARGS_ENCODE_SEGMENTS_H

#include "principal_index.h"

typedef struct KvasirEncodeSegmentsArgs {
  KvasirKvView kv;
  const int32_t* pages; /* page table of the sequence */
  int32_t firstLayer;
  int32_t numLayers;
  KvasirIndexShape shape;
  uint8_t* index;      /* [layer][kvHead][KvasirIndexLayout.bytes], from layer 0 on */
  const int32_t* ends; /* [numSegments] */
  int32_t firstSegment;
  int32_t numSegments;
  int32_t* segmentOf; /* [tokens] or null: the segment of each token is written */
} KvasirEncodeSegmentsArgs;

#endif
