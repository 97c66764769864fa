/* forgetPages: no slot of any layer holds a row of these pages any more. Pages are distinct. */
#ifndef KVASIR_GPU_ARGS_FORGET_PAGES_H
#define KVASIR_GPU_ARGS_FORGET_PAGES_H

#include "hot_rows.h"

typedef struct KvasirForgetPagesArgs {
  KvasirHotRows hot;
  int32_t numLayers;
  int32_t numKvHeads;
  const int32_t* pages; /* [count] */
  int32_t count;
} KvasirForgetPagesArgs;

#endif
