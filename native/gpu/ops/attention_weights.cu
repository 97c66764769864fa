#include "attention_weights.h"

namespace kvasir::gpu::launch {

int attentionWeights(KvasirStream* stream, const KvasirAttentionWeightsArgs* args) {
  return launchAttentionWeights(Launcher(stream), *args);
}

}  // namespace kvasir::gpu::launch
