// The arrays of one choice and where each KV head's rows lie in them.
#pragma once

#include <limits>
#include <vector>

#include "budget.h"
#include "choice.h"
#include "plan.h"
#include "workspace.h"

namespace kvasir::selection {

// Work of one task; fixed, so that sums do not depend on the number of workers.
constexpr int kChunkTokens = 1024;
constexpr int kPieceTokens = 128;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

inline int pieces(int count, int size) { return (count + size - 1) / size; }

inline WorkShape shapeOf(const SelectInput& input, const SegmentRule& rule, const SegmentIndex* index, bool otherQuery,
                  const std::vector<HeadPlan>& plans) {
  WorkShape shape = {input.numHeads, input.kv.numKvHeads, input.kv.headDim, 0, 0, 0, otherQuery};
  int most = 0;
  for (const HeadPlan& plan : plans) {
    const int chunks = index ? pieces(plan.numBlocks, kChunkBlocks) : pieces(plan.end, kChunkTokens);
    // Blocks at the ends hold up to a block of tokens that are no candidates.
    shape.stride = std::max(shape.stride, wide(plan.end) + kBlockTokens);
    shape.chunks = std::max(shape.chunks, chunks);
    most = std::max(most, plan.candidates);
  }
  if (index && rule.poolFactor > 0) shape.poolStride = wide(most) + kBlockTokens;
  return shape;
}

class ChoiceArrays {
 public:
  ChoiceArrays(Context& context, const SelectInput& input, const float* estimateQuery, const SegmentIndex* index,
         const SegmentRule& rule, const std::vector<HeadPlan>& plans, PoolHint* hint)
      : context_(context),
        input_(input),
        index_(index),
        rule_(rule),
        plans_(plans),
        hint_(hint),
        kernels_(kernelsFor(context.isa())),
        numKvHeads_(input.kv.numKvHeads),
        group_(input.numHeads / input.kv.numKvHeads),
        paddedDim_(codeUnits(input.kv.headDim) * kUnitChannels),
        otherQuery_(index && estimateQuery != input.q),
        shape_(shapeOf(input, rule, index, otherQuery_, plans)),
        work_(context, shape_) {
    padQueries(input.q, work_.queries);
    if (otherQuery_) padQueries(estimateQuery, work_.otherQueries);
    for (int kvHead = 0; kvHead < numKvHeads_; ++kvHead) {
      const HeadPlan& plan = plans[wide(kvHead)];
      candidateTokens_.push_back(plan.tokens);
      candidateEnds_.push_back(plan.end);
      candidateCounts_.push_back(plan.candidates);
      poolTokens_.push_back(pool(kvHead));
    }
  }

 protected:
  void padQueries(const float* from, float* to) const {
    const std::size_t dim = wide(input_.kv.headDim);
    for (std::size_t head = 0; head < wide(input_.numHeads); ++head) {
      float* q = to + head * wide(paddedDim_);
      std::copy_n(from + head * dim, dim, q);
      std::fill(q + dim, q + paddedDim_, 0.0f);
    }
  }

  float* query(float* queries, int kvHead) const { return queries + wide(kvHead * group_) * wide(paddedDim_); }
  Queries queriesOf(float* queries, int kvHead) const {
    return {query(queries, kvHead), group_, input_.scale * kLog2E};
  }
  float* scores(int kvHead) const { return work_.scores + wide(kvHead * group_) * work_.stride(); }
  float* values(int kvHead) const { return work_.values + wide(kvHead) * work_.stride(); }
  float* poolScores(int kvHead) const { return work_.poolScores + wide(kvHead * group_) * work_.poolStride(); }
  float* poolValues(int kvHead) const { return work_.poolValues + wide(kvHead) * work_.poolStride(); }
  std::int32_t* pool(int kvHead) const { return work_.pool + wide(kvHead) * work_.poolStride(); }

  ValueRows candidateRows() const {
    return {work_.values, work_.stride(), candidateTokens_.data(), candidateEnds_.data(), candidateCounts_.data(),
            numKvHeads_};
  }
  ValueRows chosenRows() const {
    return pooled_ ? poolRows() : candidateRows();
  }

  // The pool, or before it is chosen the candidates that the hint lets through.
  ValueRows poolRows() const {
    return {work_.poolValues, work_.poolStride(), poolTokens_.data(), work_.counts, work_.counts, numKvHeads_};
  }

  // Of tokens named by address, by index or, with neither, from `first` on.
  void scoreTokens(int kvHead, float* queries, const std::uint8_t* const* rows, const std::int32_t* tokens, int first,
                   int count, float* out, std::size_t outStride) const {
    kernels_.score({headKeys(input_.kv, input_.layer, kvHead, input_.pages), rows, tokens, first, count,
                    queriesOf(queries, kvHead), out, outStride});
  }

  Context& context_;
  const SelectInput& input_;
  const SegmentIndex* index_;
  const SegmentRule& rule_;
  const std::vector<HeadPlan>& plans_;
  PoolHint* const hint_;
  const Kernels& kernels_;
  const int numKvHeads_, group_, paddedDim_;
  const bool otherQuery_;
  const WorkShape shape_;
  Workspace work_;
  bool pooled_ = false;
  std::vector<const std::int32_t*> candidateTokens_, poolTokens_;
  std::vector<std::int32_t> candidateEnds_, candidateCounts_;
  std::vector<const std::uint8_t* const*> visibleRows_;  // [numKvHeads], where keys are fetched
};

}  // namespace kvasir::selection
