#include "attend_prefill.h"

namespace kvasir::gpu::launch {

int attendPrefill(KvasirStream* stream, const KvasirAttendPrefillArgs* args) { return launchAttendPrefill(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
