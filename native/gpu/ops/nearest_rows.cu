#include "nearest_rows.h"

namespace kvasir::gpu::launch {

int nearestRows(KvasirStream* stream, const KvasirNearestRowsArgs* args) { return launchNearestRows(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
