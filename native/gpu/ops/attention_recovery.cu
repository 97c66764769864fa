#include "attention_recovery.h"

namespace kvasir::gpu::launch {

int attentionRecovery(KvasirStream* stream, const KvasirAttentionRecoveryArgs* args) {
  return launchAttentionRecovery(Launcher(stream), *args);
}

}  // namespace kvasir::gpu::launch
