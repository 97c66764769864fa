// Cuts attention mass into tasks of (KV head, block of keys): no two of them add to the same number.
#include "kernels.h"

namespace kvasir {
namespace {

// By the number of keys alone, so that results do not depend on the number of workers.
constexpr int kMostBlocks = 32;

}  // namespace

void attentionMass(Context& context, const KvView& kv, int layer, const float* q, int numHeads, float scale,
                   int windowTokens, const Batch& batch, const float* lse, float* mass, std::size_t massStride) {
  const int rows = batch.numSequences == 1 ? batch.rowStarts[1] - batch.rowStarts[0] : 0;
  if (rows == 0) return;
  const attention::MassKernels& kernels = attention::kernelsFor(context.isa()).mass;
  const int group = numHeads / kv.numKvHeads, firstRow = batch.rowStarts[0];
  const int end = batch.indexOf(0, firstRow + rows - 1) + 1, position = batch.indexOf(0, firstRow);
  const int firstSeen = windowTokens > 0 && position >= windowTokens ? position - windowTokens + 1 : 0;
  const int firstKey = firstSeen / attention::kKeyTile * attention::kKeyTile;
  const int tiles = (end - firstKey + attention::kKeyTile - 1) / attention::kKeyTile;
  const int blockKeys = (tiles + kMostBlocks - 1) / kMostBlocks * attention::kKeyTile;
  const int numBlocks = (end - firstKey + blockKeys - 1) / blockKeys;

  const std::size_t rowStride = static_cast<std::size_t>(numHeads) * static_cast<std::size_t>(kv.headDim);
  const std::size_t stateBytes = (kernels.stateBytes(kv.headDim, rows, group, numBlocks) + 63) / 64 * 64;
  const std::size_t scratchBytes = kernels.scratchBytes(kv.headDim, group);
  std::byte* states = context.shared(stateBytes * static_cast<std::size_t>(kv.numKvHeads));
  const auto taskOf = [&](int kvHead, int worker) {
    const std::size_t at = static_cast<std::size_t>(kvHead), head = at * static_cast<std::size_t>(group);
    attention::MassTask task;
    task.kv = {kv.base + static_cast<std::size_t>(layer) * kv.layerStride + at * kv.headStride,
               kv.pageStride,
               kv.valueStride,
               batch.pages + batch.pageStarts[0],
               kv.type,
               kv.headDim};
    task.q = q + static_cast<std::size_t>(firstRow) * rowStride + head * static_cast<std::size_t>(kv.headDim);
    const std::size_t numLse = static_cast<std::size_t>(numHeads);
    task.lse = lse == nullptr ? nullptr : lse + static_cast<std::size_t>(firstRow) * numLse + head;
    task.lseStride = numLse;
    task.mass = mass + head * massStride;
    task.rowStride = rowStride;
    task.massStride = massStride;
    task.rows = rows;
    task.group = group;
    task.index = {position, batch.positions == nullptr ? nullptr : batch.positions + firstRow};
    task.windowTokens = windowTokens;
    task.scale = scale;
    task.firstKey = firstKey;
    task.blockKeys = blockKeys;
    task.numBlocks = numBlocks;
    task.context = &context;
    task.state = states + at * stateBytes;
    task.scratch = context.scratch(worker, scratchBytes);
    return task;
  };

  auto open = [&](int kvHead, int worker) { kernels.open(taskOf(kvHead, worker)); };
  auto stats = [&](int number, int worker) { kernels.stats(taskOf(number % kv.numKvHeads, worker), number / kv.numKvHeads); };
  auto close = [&](int kvHead, int worker) { kernels.close(taskOf(kvHead, worker)); };
  auto weights = [&](int number, int worker) {
    kernels.weights(taskOf(number % kv.numKvHeads, worker), number / kv.numKvHeads);
  };
  context.forEach(kv.numKvHeads, open);
  if (lse == nullptr) {
    context.forEach(kv.numKvHeads * numBlocks, stats);
    if (context.cancelled()) return;
    context.forEach(kv.numKvHeads, close);
  }
  context.forEach(kv.numKvHeads * numBlocks, weights);
}

}  // namespace kvasir
