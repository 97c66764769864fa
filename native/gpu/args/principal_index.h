/* Codes of a sequence's closed segments in device memory: the basis 'principal' of kvasir/selection.h, laid out so that 32
 * tokens (or segments) of a warp read 16 bytes each side by side. The numbers are those of native/cpu/selection:
 * principal_layout.h says what a code word holds. Segments tile the tokens from 0 on. Appending writes behind what is
 * there, forgetting lowers the counts; nothing else changes. */
#ifndef KVASIR_GPU_ARGS_PRINCIPAL_INDEX_H
#define KVASIR_GPU_ARGS_PRINCIPAL_INDEX_H

#include "views.h"

enum { KVASIR_INDEX_LANES = 32, KVASIR_INDEX_MAX_DIM = 256 };

typedef struct KvasirIndexShape {
  int32_t headDim;    /* 1 to KVASIR_INDEX_MAX_DIM */
  int32_t codeBits;   /* 1, 2 or 4, the mean over the channels */
  int32_t vectorBits; /* of a mean's channel: 8 or 16 */
  int32_t numKvHeads;
  int32_t tokenCapacity;   /* a multiple of 32 */
  int32_t segmentCapacity; /* a multiple of 32 */
} KvasirIndexShape;

/* Where the parts of one (layer, KV head) begin, in bytes, and how many words of each kind a token's codes have. Rows of
 * whole 16 bytes; tiles [32 rows' worth][vectors of a row][32 rows][16 bytes]. */
typedef struct KvasirIndexLayout {
  int32_t words4, words2, words1;
  int32_t channels;       /* that have codes */
  int32_t paddedChannels; /* to a multiple of 16 */
  int32_t codeVectors;    /* of a token */
  int32_t meanVectors;    /* of a segment */
  size_t steps;           /* f32 [paddedChannels], 0 beyond the channels; the basis, f16 [headDim][paddedChannels], is at 0 */
  size_t zeros;           /* f32 [paddedChannels] */
  size_t radii;           /* f16 [segmentCapacity] */
  size_t meanSteps;       /* f16 [segmentCapacity]; 0 with means of 16 bits */
  size_t means;           /* tiles of f16 or i8, zero beyond headDim */
  size_t codes;           /* tiles of words, zero beyond the last */
  size_t bytes;           /* of a head: a multiple of 256 */
} KvasirIndexLayout;

static inline size_t kvasirIndexPadded(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

static inline KvasirIndexLayout kvasirIndexLayout(const KvasirIndexShape* shape) {
  KvasirIndexLayout layout;
  const int32_t dim = shape->headDim, words = (shape->codeBits * dim + 31) / 32;
  int32_t ones, others;
  size_t at;
  layout.words4 = shape->codeBits == 4 ? words : words / 2;
  others = words - layout.words4;
  /* As few of one bit as cover all channels; none where no number of them does. */
  for (ones = 0; ones <= others && 8 * layout.words4 + 16 * (others - ones) + 32 * ones < dim;) ++ones;
  layout.words1 = ones > others ? 0 : ones;
  layout.words2 = others - layout.words1;
  layout.channels = 8 * layout.words4 + 16 * layout.words2 + 32 * layout.words1;
  if (layout.channels > dim) layout.channels = dim;
  layout.paddedChannels = (layout.channels + 15) / 16 * 16;
  layout.codeVectors = (words + 3) / 4;
  layout.meanVectors = (dim * shape->vectorBits / 8 + 15) / 16;
  at = kvasirIndexPadded((size_t)dim * (size_t)layout.paddedChannels * 2, 16);
  layout.steps = at;
  at += (size_t)layout.paddedChannels * 4;
  layout.zeros = at;
  at += (size_t)layout.paddedChannels * 4;
  layout.radii = at;
  at += (size_t)shape->segmentCapacity * 2;
  layout.meanSteps = at;
  at = kvasirIndexPadded(at + (size_t)shape->segmentCapacity * 2, 512);
  layout.means = at;
  at += (size_t)shape->segmentCapacity * (size_t)layout.meanVectors * 16;
  layout.codes = at;
  at += (size_t)shape->tokenCapacity * (size_t)layout.codeVectors * 16;
  layout.bytes = kvasirIndexPadded(at, 256);
  return layout;
}

#endif
