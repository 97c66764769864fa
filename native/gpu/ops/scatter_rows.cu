#include "gather_rows.h"

namespace kvasir::gpu::launch {

int scatterRows(KvasirStream* stream, const KvasirScatterRowsArgs* args) {
  return launchMoveRows<true>(Launcher(stream), "scatterRows", *args);
}

}  // namespace kvasir::gpu::launch
