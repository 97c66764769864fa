#include "gather_rows.h"

namespace kvasir::gpu::launch {

int gatherRows(KvasirStream* stream, const KvasirGatherRowsArgs* args) {
  return launchMoveRows<false>(Launcher(stream), "gatherRows", *args);
}

}  // namespace kvasir::gpu::launch
