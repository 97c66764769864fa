#include "prepare_rows.h"

namespace kvasir::gpu::launch {

int prepareRows(KvasirStream* stream, const KvasirPrepareRowsArgs* args) { return launchPrepareRows(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
