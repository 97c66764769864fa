// selectRuns over an index of random keys, ready to be launched: the choice of rows as sentence-kv makes it.
#pragma once

#include <string>

#include "gpu.h"
#include "pages.h"
#include "principal.h"

namespace kvasir::gpu::bench {

struct SelectShape {
  int tokens = 0;  // that a sequence holds
  int sequences = 1;
  int segmentTokens = 25;
  int budget = 1024;
  int pool = 0;            // rows scored exactly; 0: the estimates decide
  bool joint = false;      // one budget a layer, shared by its KV heads
  int codeBits = 2;
  int vectorBits = 8;
  int layers = 1;

  // As sentence-kv chooses where nothing is asked for.
  static SelectShape ofDefaults(int tokens, int sequences, int budget) {
    SelectShape shape;
    shape.tokens = tokens;
    shape.sequences = sequences;
    shape.budget = budget;
    shape.pool = 2 * budget;
    shape.joint = true;
    return shape;
  }
};

class Selection {
 public:
  // Sequence s holds its share of pages of kv [0, sequences * pages) in random order. Their keys are encoded: it takes a while.
  Selection(const Gpu& gpu, const KvasirKvView& kv, const ModelShape& model, const SelectShape& shape);

  void launch(KvasirStream* stream, int layer, const float* q) const;
  // Bytes that estimating must read: means and codes.
  double indexBytes() const;
  KvasirRunRows rows() const { return {rowStarts_.device<std::int32_t>(), runs_.device<KvasirKvRun>(), 0}; }
  // No list of the choice has more.
  int longestList() const;
  const std::int32_t* pageStarts() const { return pageStarts_.device<std::int32_t>(); }
  const std::int32_t* pages() const { return pages_.device<std::int32_t>(); }
  // `out` is attention of q at a layer over the rows of the last launch: query head 0 of sequence 0 against double precision.
  double attentionError(int layer, const Memory& q, const Memory& out) const;
  // What is wrong with the lists of the last launch; "" if every row's has as many tokens as the budget, ascending.
  std::string problem() const;

 private:
  KvasirSelectRunsArgs arguments(int layer, const float* q) const;

  const Gpu& gpu_;
  KvasirKvView kv_;
  ModelShape model_;
  SelectShape shape_;
  std::vector<PrincipalIndex> indices_;  // of each sequence
  std::vector<std::int32_t> pageTable_;
  Memory pages_, pageStarts_, sequences_, rowStarts_, runs_, workspace_;
};

}  // namespace kvasir::gpu::bench
