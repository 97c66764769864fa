#include "rope_rows.h"

namespace kvasir::gpu::launch {

int ropeRows(KvasirStream* stream, const KvasirRopeRowsArgs* args) { return launchRopeRows(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
