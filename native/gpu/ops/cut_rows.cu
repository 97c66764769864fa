#include "emit_lists.h"

namespace kvasir::gpu::launch {

int cutRows(KvasirStream* stream, const KvasirCutRowsArgs* args) { return launchCutRows(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
