// Causal attention of prefilled rows over paged KV; prefill_kernel.h has the kernel.
#pragma once

#include "prefill_launch.h"

namespace kvasir::gpu {

inline int launchAttendPrefill(Launcher launcher, const KvasirAttendPrefillArgs& op) {
  const char* problem = prefillProblem(op.kv, op.numHeads, op.batch, op.maxTokens);
  if (problem != nullptr) return launcher.refuse(std::string("attendPrefill: ") + problem);
  const std::size_t needed = kvasirAttendPrefillWorkspaceBytes(op.batch.numRows, op.batch.numSequences, op.numHeads,
                                                               op.kv.numKvHeads, op.kv.headDim, op.maxTokens);
  if (op.workspace != nullptr && op.workspaceBytes < needed) {
    return launcher.refuse("attendPrefill: the workspace has " + std::to_string(op.workspaceBytes) + " bytes, needed are " +
                           std::to_string(needed));
  }
  if (op.batch.numRows == 0 || op.batch.numSequences == 0) return KVASIR_GPU_OK;
  return runPrefillOf<true>(launcher, op);
}

}  // namespace kvasir::gpu
