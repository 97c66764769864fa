#include "select_runs.h"

namespace kvasir::gpu::launch {

int selectRuns(KvasirStream* stream, const KvasirSelectRunsArgs* args) { return launchSelectRuns(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
