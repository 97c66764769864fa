#include "attention_mass.h"

namespace kvasir::gpu::launch {

int attentionMass(KvasirStream* stream, const KvasirAttentionMassArgs* args) { return launchAttentionMass(Launcher(stream), *args); }

}  // namespace kvasir::gpu::launch
