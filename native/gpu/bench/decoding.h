// attendRuns for one query row a sequence over lists that are given at the launch.
#pragma once

#include "gpu.h"
#include "pages.h"

namespace kvasir::gpu::bench {

class DecodeAttention {
 public:
  DecodeAttention(const Gpu& gpu, const ModelShape& model, int sequences, int maxTokens);

  // q [sequences][numHeads][headDim] -> out, alike. pageStarts and pages as attendRuns takes them.
  void launch(KvasirStream* stream, const KvasirKvView& kv, int layer, const std::int32_t* pageStarts, const std::int32_t* pages,
              const KvasirRunRows& rows, const float* q, float* out) const;

 private:
  const Gpu& gpu_;
  ModelShape model_;
  int sequences_, maxTokens_;
  Memory workspace_;
};

}  // namespace kvasir::gpu::bench
