#include "attend_runs.h"

namespace kvasir::gpu::launch {

int attendRuns(KvasirStream* stream, const KvasirAttendRunsArgs* args) { return launchAttendRuns(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
