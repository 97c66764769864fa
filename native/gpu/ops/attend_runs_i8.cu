#include "attend_runs_i8.h"

namespace kvasir::gpu::launch {

int attendRunsI8(KvasirStream* stream, const KvasirAttendRunsI8Args* args) { return launchAttendRunsI8(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
