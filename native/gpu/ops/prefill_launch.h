// Which kernel goes through the keys of prefilled rows, and in which blocks.
#pragma once

#include <string>

#include "prefill_kernel.h"

namespace kvasir::gpu {

// Null: nothing is wrong.
inline const char* prefillProblem(const KvasirKvView& kv, int numHeads, const KvasirBatch& batch, int maxTokens) {
  if (kv.type != KVASIR_F16 && kv.type != KVASIR_F32) return "type must be f16 or f32";
  const int rowBytes = kv.headDim * (kv.type == KVASIR_F16 ? 2 : 4);
  if (kv.headDim <= 0 || kv.headDim > 256 || rowBytes % 16 != 0) return "headDim must be at most 256, and rows whole 16 bytes";
  if ((kv.pageStride | kv.layerStride | kv.headStride | kv.valueStride) % 16 != 0) return "strides must be multiples of 16";
  if (kv.numKvHeads <= 0 || numHeads <= 0 || numHeads % kv.numKvHeads != 0) return "numHeads must be a multiple of numKvHeads";
  if (numHeads / kv.numKvHeads > (kv.headDim <= 128 ? 32 : 16)) {
    return "a KV head must have at most 32 query heads, 16 where headDim is above 128";
  }
  if (batch.numSequences < 0 || batch.numRows < 0 || maxTokens < 0) return "counts must not be negative";
  return nullptr;
}

// On tensor cores; else in float32.
inline bool usesMma(const KvasirKvView& kv, int exact) {
  return kv.type == KVASIR_F16 && exact == 0 && kv.headDim % 16 == 0;
}

template <class Math, bool kValues>
int runPrefill(Launcher launcher, const KvasirAttendPrefillArgs& op) {
  using Kernel = AttendPrefill<Math, kValues>;
  const int numKvHeads = op.kv.numKvHeads, group = op.numHeads / numKvHeads, chunks = kvasirPrefillChunks(op.maxTokens);
  const KvasirBatch& batch = op.batch;
  PrefillArgs args{};
  args.op = op;
  args.group = group;
  args.rowsPerTile = Math::kLanes / group;
  args.tiles = kvasirQueryTiles(batch.numRows, batch.numSequences, group, Math::kLanes);
  Plan plan;
  plan.gridX = static_cast<unsigned>(args.tiles) * static_cast<unsigned>(numKvHeads);
  plan.sharedBytes = Kernel::kSharedBytes;
  const std::size_t bytes =
      kvasirAttendPrefillWorkspaceBytes(batch.numRows, batch.numSequences, op.numHeads, numKvHeads, op.kv.headDim, op.maxTokens);
  // Two blocks a multiprocessor have enough to do.
  if (Math::kSplits && Math::kLanes == 64 && bytes > 0 && op.workspace != nullptr && op.workspaceBytes >= bytes &&
      plan.gridX < 2u * static_cast<unsigned>(launcher.multiprocessors())) {
    args.split = true;
    plan.gridY = static_cast<unsigned>(chunks);
    std::uint8_t* at = static_cast<std::uint8_t*>(op.workspace);
    const std::size_t parts = plan.gridX * static_cast<std::size_t>(chunks);
    args.tickets = reinterpret_cast<std::uint32_t*>(at);
    args.outs = reinterpret_cast<float*>(
        at + kvasirAttendPrefillTicketBytes(batch.numRows, batch.numSequences, op.numHeads, numKvHeads));
    args.stats = args.outs + parts * Math::kLanes * static_cast<std::size_t>(op.kv.headDim);
  }
  return launcher.run<Kernel>(plan, args);
}

// Tiles of 128 lanes read keys half as often as tiles of 64, where there are enough of them for all multiprocessors.
template <bool kValues, int kSteps>
int runPrefillMma(Launcher launcher, const KvasirAttendPrefillArgs& op) {
  if constexpr (kValues && kSteps <= 8) {
    const long long lanes = static_cast<long long>(op.batch.numRows) * (op.numHeads / op.kv.numKvHeads);
    if (lanes / 128 * op.kv.numKvHeads >= 2 * launcher.multiprocessors()) {
      return runPrefill<PrefillMma<kSteps, 2>, kValues>(launcher, op);
    }
  }
  return runPrefill<PrefillMma<kSteps, 1>, kValues>(launcher, op);
}

template <class T, bool kValues>
int runPrefillSimt(Launcher launcher, const KvasirAttendPrefillArgs& op) {
  if (op.kv.headDim <= 128) return runPrefill<PrefillSimt<T, 8>, kValues>(launcher, op);
  return runPrefill<PrefillSimt<T, 16>, kValues>(launcher, op);
}

template <bool kValues>
int runPrefillOf(Launcher launcher, const KvasirAttendPrefillArgs& op) {
  const int headDim = op.kv.headDim;
  if (!usesMma(op.kv, op.exact)) {
    return op.kv.type == KVASIR_F32 ? runPrefillSimt<float, kValues>(launcher, op) : runPrefillSimt<Half, kValues>(launcher, op);
  }
  if (headDim <= 64) return runPrefillMma<kValues, 4>(launcher, op);
  if (headDim <= 128) return runPrefillMma<kValues, 8>(launcher, op);
  return runPrefillMma<kValues, 16>(launcher, op);
}

}  // namespace kvasir::gpu
