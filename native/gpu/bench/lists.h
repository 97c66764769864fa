// Decode attention over random lists in a pool of pages, ready to be launched.
#pragma once

#include "gpu.h"
#include "pages.h"

namespace kvasir::gpu::bench {

struct ListShape {
  int sequences = 1;
  int tokens = 0;     // a list
  int runTokens = 0;  // 0: the whole context, its pages neighbours
  int contextTokens = 0;
  int turns = 1;      // page tables, each a random order of the pool
};

class Attention {
 public:
  Attention(const Gpu& gpu, const PagePool& pool, const ModelShape& model, const ListShape& shape);

  KvasirAttendRunsArgs arguments(int turn) const;
  void launch(KvasirStream* stream, int turn) const;
  // Launches turn 0 and compares query head 0 of sequence 0 with double precision: the length of what is off / of the answer.
  double error() const;

 private:
  const Gpu& gpu_;
  const PagePool& pool_;
  ModelShape model_;
  ListShape shape_;
  int pagesASequence_;
  std::vector<std::int32_t> pagesOfTurns_;   // [turns][sequences][pagesASequence]
  std::vector<KvasirKvRun> firstRuns_;       // those of KV head 0
  Memory pageStarts_, pages_, rowStarts_, runs_, q_, out_, workspace_;
};

}  // namespace kvasir::gpu::bench
