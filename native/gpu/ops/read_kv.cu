#include "read_kv.h"

namespace kvasir::gpu::launch {

int readKv(KvasirStream* stream, const KvasirReadKvArgs* args) { return launchReadKv(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
