#include "compare_kv.h"

namespace kvasir::gpu::launch {

int compareKv(KvasirStream* stream, const KvasirCompareKvArgs* args) { return launchCompareKv(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
