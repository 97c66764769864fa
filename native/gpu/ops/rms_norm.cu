#include "rms_norm.h"

namespace kvasir::gpu::launch {

int rmsNorm(KvasirStream* stream, const KvasirRmsNormArgs* args) { return launchRmsNorm(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
