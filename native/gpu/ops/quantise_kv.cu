#include "quantise_kv.h"

namespace kvasir::gpu::launch {

int quantiseKv(KvasirStream* stream, const KvasirQuantiseKvArgs* args) { return launchQuantiseKv(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
