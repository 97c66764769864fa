#include "turn_rows.h"

namespace kvasir::gpu::launch {

int turnRows(KvasirStream* stream, const KvasirTurnRowsArgs* args) { return launchTurnRows(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
