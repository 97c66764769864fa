// What each key gets from a window of rows: lse of the rows where it is not known, then weights, column by column.
#pragma once

#include "mass_simt.h"
#include "prefill_launch.h"

namespace kvasir::gpu {

// lse [numRows][numHeads] to `lse`, by prefill attention that reads no V rows.
inline int runMassLse(Launcher launcher, const KvasirAttentionMassArgs& op, float* lse, std::size_t partBytes) {
  KvasirAttendPrefillArgs prefill{};
  prefill.kv = op.kv;
  prefill.layer = op.layer;
  prefill.q = op.q;
  prefill.numHeads = op.numHeads;
  prefill.scale = op.scale;
  prefill.windowTokens = op.windowTokens;
  prefill.batch = op.batch;
  prefill.maxTokens = op.maxTokens;
  prefill.exact = op.exact;
  prefill.lse = lse;
  prefill.workspace = op.workspace;
  prefill.workspaceBytes = partBytes;
  return runPrefillOf<false>(launcher, prefill);
}

template <class Kernel>
int runMass(Launcher launcher, const MassArgs& args) {
  return launcher.run<Kernel>(Kernel::plan(args), args);
}

template <class T>
int runMassSimt(Launcher launcher, const MassArgs& args) {
  return args.op.kv.headDim <= 128 ? runMass<MassSimt<T, 128>>(launcher, args) : runMass<MassSimt<T, 256>>(launcher, args);
}

inline int launchAttentionMass(Launcher launcher, const KvasirAttentionMassArgs& op) {
  const char* problem = prefillProblem(op.kv, op.numHeads, op.batch, op.maxTokens);
  if (problem != nullptr) return launcher.refuse(std::string("attentionMass: ") + problem);
  if (op.batch.numRows == 0) return KVASIR_GPU_OK;
  if (op.batch.numSequences != 1) return launcher.refuse("attentionMass: the batch must have one sequence");
  if (op.massStride < static_cast<std::size_t>(op.maxTokens)) return launcher.refuse("attentionMass: massStride must be at least maxTokens");
  const int numRows = op.batch.numRows, numKvHeads = op.kv.numKvHeads, headDim = op.kv.headDim;
  const std::size_t needed = kvasirAttentionMassWorkspaceBytes(numRows, op.numHeads, numKvHeads, headDim, op.maxTokens);
  if (op.workspace == nullptr || op.workspaceBytes < needed) {
    return launcher.refuse("attentionMass: the workspace has " + std::to_string(op.workspaceBytes) + " bytes, needed are " + std::to_string(needed));
  }

  MassArgs args{};
  args.op = op;
  args.group = op.numHeads / numKvHeads;
  args.rows = numRows;
  args.packedRows = kvasirMassRows(numRows);
  const std::size_t lanes = args.packedRows * static_cast<std::size_t>(op.numHeads);
  std::size_t partBytes = kvasirAttendPrefillWorkspaceBytes(numRows, 1, op.numHeads, numKvHeads, headDim, op.maxTokens);
  if (partBytes == 0) partBytes = kvasirAttendPrefillTicketBytes(numRows, 1, op.numHeads, numKvHeads);
  float* lse = reinterpret_cast<float*>(static_cast<std::uint8_t*>(op.workspace) + partBytes);
  args.lse = op.lse != nullptr ? op.lse : lse;
  args.lse2 = lse + lanes;
  args.first = reinterpret_cast<std::int32_t*>(args.lse2 + lanes);
  args.last = args.first + args.packedRows;
  args.q = reinterpret_cast<std::uint16_t*>(args.last + args.packedRows);
  if (op.lse == nullptr) {
    const int status = runMassLse(launcher, op, lse, partBytes);
    if (status != KVASIR_GPU_OK) return status;
  }
  if (!usesMma(op.kv, op.exact)) return op.kv.type == KVASIR_F32 ? runMassSimt<float>(launcher, args) : runMassSimt<Half>(launcher, args);
  const int status = runMass<PackQueries>(launcher, args);
  if (status != KVASIR_GPU_OK) return status;
  if (headDim <= 64) return runMass<MassMma<4>>(launcher, args);
  if (headDim <= 128) return runMass<MassMma<8>>(launcher, args);
  return runMass<MassMma<16>>(launcher, args);
}

}  // namespace kvasir::gpu
