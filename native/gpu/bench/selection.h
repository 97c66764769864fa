// selectRuns over an index of random codes, ready to be launched: the choice of rows as sentence-kv makes it.
#pragma once

#include <string>

#include "gpu.h"
#include "pages.h"

namespace kvasir::gpu::bench {

struct SelectShape {
  int tokens = 0;  // that a sequence holds
  int sequences = 1;
  int segmentTokens = 25;
  int budget = 1024;
  int pool = 0;
  int codeBits = 2;
  int layers = 1;
};

class Selection {
 public:
  // Sequence s holds pages of kv [s * pages, ...) in random order.
  Selection(const Gpu& gpu, const KvasirKvView& kv, const ModelShape& model, const SelectShape& shape);

  void launch(KvasirStream* stream, int layer, const float* q) const;
  // Bytes that estimating must read: means and codes.
  double indexBytes() const;
  KvasirRunRows rows() const { return {rowStarts_.device<std::int32_t>(), runs_.device<KvasirKvRun>(), 0}; }
  const std::int32_t* pageStarts() const { return pageStarts_.device<std::int32_t>(); }
  const std::int32_t* pages() const { return pages_.device<std::int32_t>(); }
  // What is wrong with the lists of the last launch; "" if every row's has as many tokens as the budget, ascending.
  std::string problem() const;

 private:
  KvasirSelectRunsArgs arguments(int layer, const float* q) const;

  const Gpu& gpu_;
  KvasirKvView kv_;
  ModelShape model_;
  SelectShape shape_;
  KvasirIndexShape indexShape_{};
  KvasirIndexLayout layout_{};
  Memory index_, segmentOf_, pages_, pageStarts_, sequences_, rowStarts_, runs_, workspace_;
};

}  // namespace kvasir::gpu::bench
