#include "write_kv.h"

namespace kvasir::gpu::launch {

int writeKv(KvasirStream* stream, const KvasirWriteKvArgs* args) { return launchWriteKv(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
