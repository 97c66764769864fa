#include "context_probe.h"

namespace kvasir::gpu::launch {

int contextProbe(KvasirStream* stream, const KvasirContextProbeArgs* args) {
  return Launcher(stream).run<ContextProbe>(ContextProbe::plan(), *args);
}

}  // namespace kvasir::gpu::launch
