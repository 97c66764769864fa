#include "decoding.h"

#include <cmath>

namespace kvasir::gpu::bench {

DecodeAttention::DecodeAttention(const Gpu& gpu, const ModelShape& model, int sequences, int maxTokens)
    : gpu_(gpu), model_(model), sequences_(sequences), maxTokens_(maxTokens) {
  const int rows = sequences * model.numKvHeads;
  workspace_ = Memory::onDevice(gpu, kvasirAttendWorkspaceBytes(rows, model.numHeads / model.numKvHeads, model.headDim, maxTokens));
  gpu.check(gpu.table().fill(gpu.stream(), workspace_.device(), 0, workspace_.bytes()), "fill");
  gpu.synchronize();
}

void DecodeAttention::launch(KvasirStream* stream, const KvasirKvView& kv, int layer, const std::int32_t* pageStarts, const std::int32_t* pages,
                             const KvasirRunRows& rows, const float* q, float* out) const {
  KvasirAttendRunsArgs args{};
  args.kv = kv;
  args.layer = layer;
  args.q = q;
  args.numHeads = model_.numHeads;
  args.scale = 1.0f / std::sqrt(static_cast<float>(model_.headDim));
  args.numSequences = sequences_;
  args.pageStarts = pageStarts;
  args.pages = pages;
  args.rows = rows;
  args.maxTokens = maxTokens_;
  args.out = out;
  args.workspace = workspace_.device();
  args.workspaceBytes = workspace_.bytes();
  gpu_.check(gpu_.table().attendRuns(stream, &args), "attendRuns");
}

}  // namespace kvasir::gpu::bench
