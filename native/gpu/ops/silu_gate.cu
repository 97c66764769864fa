#include "silu_gate.h"

namespace kvasir::gpu::launch {

int siluGate(KvasirStream* stream, const KvasirSiluGateArgs* args) { return launchSiluGate(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
