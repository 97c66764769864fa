#include "roof_probe.h"

namespace kvasir::gpu::launch {

int roofProbe(KvasirStream* stream, const KvasirRoofProbeArgs* args) { return launchRoofProbe(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
