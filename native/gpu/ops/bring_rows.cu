#include "bring_rows.h"

namespace kvasir::gpu::launch {

int bringRows(KvasirStream* stream, const KvasirBringRowsArgs* args) { return launchBringRows(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
