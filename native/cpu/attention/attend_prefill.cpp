// Cuts prefill attention into tasks of (sequence, block of rows, KV head).
#include <cmath>

#include "kernels.h"

namespace kvasir {
namespace {

// Queries (rows x heads of a group) of one task: the more, the more often a converted tile of K and V is used; they
// and their outputs have to stay in the second-level cache, and there have to be tasks enough for all workers.
constexpr int kMostLanes = 384, kMostLaneValues = 384 * 128, kFewestLanes = 48;
constexpr int kTasksPerWorker = 4;

int chooseBlockRows(int workers, int batchRows, int numKvHeads, int group, int headDim) {
  int lanes = kMostLanes;
  while (lanes > kFewestLanes &&
         (lanes * headDim > kMostLaneValues || static_cast<double>(batchRows) * group * numKvHeads <
                                                   static_cast<double>(lanes) * kTasksPerWorker * workers)) {
    lanes /= 2;
  }
  return group < lanes ? lanes / group : 1;
}

struct RowBlock {
  std::int32_t sequence;
  std::int32_t first;  // row of the batch
  std::int32_t rows;
};

}  // namespace

void attendPrefill(Context& context, const KvView& kv, int layer, const float* q, int numHeads, float scale,
                   int windowTokens, const Batch& batch, float* out, float* lse) {
  const attention::Kernels& kernels = attention::kernelsFor(context.isa());
  const int group = numHeads / kv.numKvHeads;
  const int batchRows = batch.rowStarts[batch.numSequences] - batch.rowStarts[0];
  const int blockRows = chooseBlockRows(context.workers(), batchRows, kv.numKvHeads, group, kv.headDim);
  const std::size_t mostBlocks = static_cast<std::size_t>(batchRows / blockRows + batch.numSequences);
  RowBlock* blocks = reinterpret_cast<RowBlock*>(context.shared(mostBlocks * sizeof(RowBlock)));
  int numBlocks = 0;
  for (int s = 0; s < batch.numSequences; ++s) {
    // The last block reads most keys: it starts first, so that no worker is left with it at the end; what is left over
    // when all others are full is the first one.
    const int begin = batch.rowStarts[s];
    for (int end = batch.rowStarts[s + 1]; end > begin; end -= blocks[numBlocks++].rows) {
      const int rows = end - begin < blockRows ? end - begin : blockRows;
      blocks[numBlocks] = {s, end - rows, rows};
    }
  }

  const std::size_t headDim = static_cast<std::size_t>(kv.headDim);
  const std::size_t rowStride = static_cast<std::size_t>(numHeads) * headDim;
  const std::size_t taskBytes = (kernels.prefillScratchBytes(kv.headDim, blockRows, group) + 63) / 64 * 64;
  const std::size_t lanes = static_cast<std::size_t>(blockRows * group);
  auto attend = [&](int number, int worker) {
    if (context.cancelled()) return;
    const RowBlock& block = blocks[number / kv.numKvHeads];
    const std::size_t kvHead = static_cast<std::size_t>(number % kv.numKvHeads);
    const std::size_t from = static_cast<std::size_t>(block.first) * rowStride + kvHead * group * headDim;
    attention::PrefillTask task;
    task.kv = {kv.base + static_cast<std::size_t>(layer) * kv.layerStride + kvHead * kv.headStride,
               kv.pageStride,
               kv.valueStride,
               batch.pages + batch.pageStarts[block.sequence],
               kv.type,
               kv.headDim};
    task.q = q + from;
    task.out = out + from;
    task.rowStride = rowStride;
    task.rows = block.rows;
    task.group = group;
    task.index = {batch.indexOf(block.sequence, block.first),
                  batch.positions == nullptr ? nullptr : batch.positions + block.first};
    task.windowTokens = windowTokens;
    task.scale = scale;
    task.context = &context;
    task.scratch = context.scratch(worker, taskBytes + 2 * lanes * sizeof(float));
    task.max = reinterpret_cast<float*>(task.scratch + taskBytes);
    task.sum = task.max + lanes;
    kernels.prefill(task);
    if (lse == nullptr || context.cancelled()) return;
    for (int row = 0; row < block.rows; ++row) {
      float* rowLse = lse + static_cast<std::size_t>(block.first + row) * numHeads + kvHead * group;
      for (int head = 0; head < group; ++head) {
        const int lane = row * group + head;
        rowLse[head] = (task.max[lane] + std::log2(task.sum[lane])) * 0x1.62e43p-1f;  // ln(2)
      }
    }
  };
  if (numBlocks > 0) context.forEach(numBlocks * kv.numKvHeads, attend);
}

}  // namespace kvasir
