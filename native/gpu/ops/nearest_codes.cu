#include "nearest_codes.h"

namespace kvasir::gpu::launch {

int nearestCodes(KvasirStream* stream, const KvasirNearestCodesArgs* args) { return launchNearestCodes(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
