#include "linear.h"

namespace kvasir::gpu::launch {

int linear(KvasirStream* stream, const KvasirLinearArgs* args) { return launchLinear(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
