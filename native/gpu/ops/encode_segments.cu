#include "encode_segments.h"

namespace kvasir::gpu::launch {

int encodeSegments(KvasirStream* stream, const KvasirEncodeSegmentsArgs* args) { return launchEncodeSegments(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
