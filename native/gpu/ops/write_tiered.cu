#include "write_tiered.h"

namespace kvasir::gpu::launch {

int writeTiered(KvasirStream* stream, const KvasirWriteTieredArgs* args) { return launchWriteTiered(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
