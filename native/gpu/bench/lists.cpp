#include "lists.h"

#include <algorithm>
#include <cmath>

namespace kvasir::gpu::bench {

Attention::Attention(const Gpu& gpu, const PagePool& pool, const ModelShape& model, const ListShape& shape)
    : gpu_(gpu), pool_(pool), model_(model), shape_(shape),
      pagesASequence_((shape.contextTokens + KVASIR_PAGE_TOKENS - 1) / KVASIR_PAGE_TOKENS) {
  const int extent = shape.runTokens == 0 ? std::min(pagesASequence_, pool.numPages()) : std::max(1, shape.runTokens / KVASIR_PAGE_TOKENS);
  for (int turn = 0; turn < shape.turns; ++turn) {
    const auto pages = shuffledPages(shape.sequences * pagesASequence_, pool.numPages(), extent, static_cast<unsigned>(turn));
    pagesOfTurns_.insert(pagesOfTurns_.end(), pages.begin(), pages.end());
  }
  // A list a KV head; the sequences share them over pages of their own.
  std::mt19937 random(13);
  std::vector<std::vector<KvasirKvRun>> heads;
  for (int head = 0; head < model.numKvHeads; ++head) {
    heads.push_back(randomRuns(shape.tokens, shape.runTokens, shape.contextTokens, random));
  }
  firstRuns_ = heads[0];
  std::vector<std::int32_t> pageStarts, rowStarts = {0};
  std::vector<KvasirKvRun> runs;
  for (int sequence = 0; sequence < shape.sequences; ++sequence) {
    for (const auto& head : heads) {
      runs.insert(runs.end(), head.begin(), head.end());
      rowStarts.push_back(static_cast<std::int32_t>(runs.size()));
    }
  }
  for (int sequence = 0; sequence <= shape.sequences; ++sequence) pageStarts.push_back(sequence * pagesASequence_);
  const std::size_t queries = static_cast<std::size_t>(shape.sequences * model.numHeads * model.headDim);
  pageStarts_ = upload(gpu, pageStarts);
  pages_ = upload(gpu, pagesOfTurns_);
  rowStarts_ = upload(gpu, rowStarts);
  runs_ = upload(gpu, runs);
  q_ = upload(gpu, randomFloats(queries));
  out_ = Memory::onDevice(gpu, queries * sizeof(float));
  const std::size_t workspaceBytes = kvasirAttendWorkspaceBytes(shape.sequences * model.numKvHeads, model.numHeads / model.numKvHeads,
                                                                model.headDim, shape.tokens);
  workspace_ = Memory::onDevice(gpu, workspaceBytes);
  gpu.check(gpu.table().fill(gpu.stream(), workspace_.device(), 0, workspaceBytes), "fill");
  gpu.check(gpu.table().fill(gpu.stream(), out_.device(), 0xFF, out_.bytes()), "fill");
  gpu.synchronize();
}

KvasirAttendRunsArgs Attention::arguments(int turn) const {
  const std::size_t tableBytes = static_cast<std::size_t>(shape_.sequences * pagesASequence_) * sizeof(std::int32_t);
  KvasirAttendRunsArgs args{};
  args.kv = pool_.view();
  args.q = q_.device<float>();
  args.numHeads = model_.numHeads;
  args.scale = 1.0f / std::sqrt(static_cast<float>(model_.headDim));
  args.numSequences = shape_.sequences;
  args.pageStarts = pageStarts_.device<std::int32_t>();
  args.pages = pages_.device<std::int32_t>(static_cast<std::size_t>(turn) * tableBytes);
  args.rows = {rowStarts_.device<std::int32_t>(), runs_.device<KvasirKvRun>(), 0};
  args.maxTokens = shape_.tokens;
  args.out = out_.device<float>();
  args.workspace = workspace_.device();
  args.workspaceBytes = workspace_.bytes();
  return args;
}

void Attention::launch(KvasirStream* stream, int turn) const {
  const KvasirAttendRunsArgs args = arguments(turn);
  gpu_.check(gpu_.table().attendRuns(stream, &args), "attendRuns");
}

double Attention::error() const {
  launch(gpu_.stream(), 0);
  const std::size_t headDim = static_cast<std::size_t>(model_.headDim);
  std::vector<std::pair<int, int>> tokens;
  for (const KvasirKvRun& run : firstRuns_) {
    for (int i = 0; i < run.len; ++i) tokens.emplace_back(pagesOfTurns_[static_cast<std::size_t>(run.page)], run.first + i);
  }
  return attentionError(gpu_, pool_.view(), 0, tokens, download<float>(gpu_, q_.device(), headDim), download<float>(gpu_, out_.device(), headDim));
}

}  // namespace kvasir::gpu::bench
