/* copyPieces: pieces[i].bytes from pieces[i].from to pieces[i].to, for pieces too small for the copy engines. Addresses and
 * bytes are multiples of 16, bytes may be 0; either side may be mapped host memory. Nothing overlaps. */
#ifndef KVASIR_GPU_ARGS_COPY_PIECES_H
#define KVASIR_GPU_ARGS_COPY_PIECES_H

#include "views.h"

typedef struct KvasirPiece {
  const void* from;
  void* to;
  size_t bytes;
} KvasirPiece;

typedef struct KvasirCopyPiecesArgs {
  const KvasirPiece* pieces; /* [count], device memory */
  int32_t count;
  size_t maxBytes;   /* no piece is larger */
  int32_t maxBlocks; /* 0: no bound; a few are enough for the link to the host */
} KvasirCopyPiecesArgs;

#endif
