// The first phase of a choice: values of all candidates, by estimate or exactly.
#pragma once

#include <cmath>
#include <limits>

#include "channel_storage.h"
#include "choice_arrays.h"
#include "kept.h"
#include "principal_storage.h"

namespace kvasir::selection {

class CandidateScores : protected ChoiceArrays {
 public:
  using ChoiceArrays::ChoiceArrays;

  // Values of all candidates, by estimate or exactly. False if aborted, as all phases.
  bool scoreCandidates() {
    const bool exact = !index_, fetched = input_.keys != nullptr;
    if (fetched && ((exact && !scoreFetched()) || !fetchVisible())) return false;
    startHeads([&](int) { return shape_.chunks + 1; });
    context_.forEach(numKvHeads_ * (shape_.chunks + 1), [&](int task, int worker) {
      if (context_.cancelled()) return;
      const int kvHead = task / (shape_.chunks + 1), chunk = task % (shape_.chunks + 1) - 1;
      if (chunk < 0) {
        scoreVisible(kvHead, worker);
      } else {
        const Stretch stretch = stretchOf(kvHead, chunk);
        if (!exact) estimate(kvHead, chunk, worker);
        else if (!fetched) scoreStretch(kvHead, stretch, nullptr);
        finishChunk(kvHead, chunk, stretch);
      }
      if (endsHead(kvHead)) finishCandidates(kvHead);
    });
    return !context_.cancelled();
  }

 protected:
  // Positions of a task that are candidates.
  struct Stretch {
    int begin, end;
    int count() const { return std::max(0, end - begin); }
  };

  // The last task of a head that ends sums it up, so that no further fork is needed.
  template <class TasksOf>
  void startHeads(TasksOf&& tasksOf) {
    for (int kvHead = 0; kvHead < numKvHeads_; ++kvHead) work_.pending[kvHead].tasks.store(tasksOf(kvHead));
  }
  bool endsHead(int kvHead) { return work_.pending[kvHead].tasks.fetch_sub(1) == 1; }

  Stretch stretchOf(int kvHead, int chunk) const {
    const HeadPlan& plan = plans_[wide(kvHead)];
    int begin = chunk * kChunkTokens, end = begin + kChunkTokens;
    if (index_) {
      const int first = chunk * kChunkBlocks, last = std::min(plan.numBlocks, first + kChunkBlocks) - 1;
      if (first > last) return {0, 0};
      begin = plan.blocks[first].out;
      end = plan.blocks[last].out + plan.blocks[last].count;
    }
    return {std::max(plan.begin, begin), std::min(plan.end, end)};
  }

  void scoreStretch(int kvHead, const Stretch& stretch, const std::uint8_t* const* rows) const {
    const std::int32_t* tokens = plans_[wide(kvHead)].tokens;
    scoreTokens(kvHead, work_.queries, rows, tokens ? tokens + stretch.begin : nullptr, stretch.begin, stretch.count(),
                scores(kvHead) + stretch.begin, work_.stride());
  }

  bool fetchVisible() {
    for (int kvHead = 0; kvHead < numKvHeads_; ++kvHead) {
      const std::vector<std::int32_t>& visible = plans_[wide(kvHead)].visible;
      input_.keys->expect(kvHead, visible.data(), static_cast<int>(visible.size()));
    }
    for (int kvHead = 0; kvHead < numKvHeads_; ++kvHead) {
      const std::vector<std::int32_t>& visible = plans_[wide(kvHead)].visible;
      visibleRows_.push_back(
          input_.keys->rows(context_, kvHead, visible.data(), static_cast<int>(visible.size())));
      if (!visibleRows_.back()) return false;
    }
    return true;
  }

  // Exact scores of all candidates, a chunk of rows at a time, so that not all need be at hand at once.
  bool scoreFetched() {
    std::vector<std::vector<std::int32_t>> tokens(wide(numKvHeads_));
    std::vector<const std::uint8_t* const*> rows(wide(numKvHeads_));
    for (int chunk = 0; chunk < shape_.chunks; ++chunk) {
      for (int kvHead = 0; kvHead < numKvHeads_; ++kvHead) {
        const Stretch stretch = stretchOf(kvHead, chunk);
        std::vector<std::int32_t>& own = tokens[wide(kvHead)];
        own.clear();
        for (int at = stretch.begin; at < stretch.end; ++at) own.push_back(plans_[wide(kvHead)].tokenAt(at));
        input_.keys->expect(kvHead, own.data(), stretch.count());
      }
      for (int kvHead = 0; kvHead < numKvHeads_; ++kvHead) {
        const int count = stretchOf(kvHead, chunk).count();
        rows[wide(kvHead)] = input_.keys->rows(context_, kvHead, tokens[wide(kvHead)].data(), count);
        if (!rows[wide(kvHead)]) return false;
      }
      context_.forEach(numKvHeads_, [&](int kvHead, int) {
        scoreStretch(kvHead, stretchOf(kvHead, chunk), rows[wide(kvHead)]);
      });
    }
    return true;
  }

  void estimate(int kvHead, int chunk, int worker) {
    const HeadPlan& plan = plans_[wide(kvHead)];
    const int first = chunk * kChunkBlocks, count = std::min(kChunkBlocks, plan.numBlocks - first);
    if (count <= 0) return;
    const SegmentBlock* blocks = plan.blocks + first;
    const SegmentIndexShape& shape = index_->shape();
    if (shape.basis == CodeBasis::principal) return estimatePrincipal(kvHead, blocks, count, worker);
    const ChannelStorage::View view = channelsOf(*index_).head(input_.layer, kvHead);
    const int segment = blocks[0].segment, numSegments = blocks[count - 1].segment - segment + 1;
    const SegmentStats segments = {view.stats,   plan.segments ? plan.segments + segment : nullptr,
                                   segment,      numSegments,
                                   shape.headDim, shape.vectorBits};
    const Queries queries = queriesOf(otherQuery_ ? work_.otherQueries : work_.queries, kvHead);
    float* out = scores(kvHead);
    if (shape.codeBits > 0) {
      std::byte* scratch = context_.scratch(worker, scanWorkBytes(shape.headDim, numSegments));
      kernels_.scan({segments, view.codes, view.planeBytes, shape.codeBits, blocks, count,
                     plan.numBlocks - first - count, queries, scratch, out,
                     work_.stride()});
      return;
    }
    const std::size_t stride = wide(numSegments);
    float* masses = reinterpret_cast<float*>(context_.scratch(worker, stride * wide(group_) * 4));
    kernels_.masses({segments, queries, varianceScale(input_.scale), masses, stride});
    for (int head = 0; head < group_; ++head) {
      float* row = out + wide(head) * work_.stride();
      for (int n = 0; n < count; ++n) {
        std::fill_n(row + blocks[n].out, blocks[n].count, masses[wide(head) * stride + wide(blocks[n].segment - segment)]);
      }
    }
  }

  void estimatePrincipal(int kvHead, const SegmentBlock* blocks, int count, int worker) {
    const SegmentIndexShape& shape = index_->shape();
    const std::uint8_t* places = index_->places() + blocks[0].token;
    const SegmentBlock& last = blocks[count - 1];
    const int numSegments = last.segment + places[last.token - blocks[0].token + last.count - 1] - blocks[0].segment + 1;
    std::byte* scratch = context_.scratch(worker, principalScanBytes(shape.headDim, shape.codeBits, numSegments));
    kernels_.principalScan({principalOf(*index_).head(input_.layer, kvHead), shape.headDim, shape.codeBits,
                            shape.vectorBits, blocks, places, count,
                            queriesOf(otherQuery_ ? work_.otherQueries : work_.queries, kvHead), scratch, scores(kvHead),
                            work_.stride()});
  }

  // Largest score and sum of powers of the always-visible tokens, for the estimated and the true query; their values
  // are not needed.
  void scoreVisible(int kvHead, int worker) {
    const std::vector<std::int32_t>& visible = plans_[wide(kvHead)].visible;
    const int count = static_cast<int>(visible.size());
    float* out = reinterpret_cast<float*>(context_.scratch(worker, wide(count * group_) * 4));
    for (int kind = 0; kind < 2; ++kind) {
      const std::size_t at = wide(kind * input_.numHeads + kvHead * group_);
      if (kind == 1 && !otherQuery_) {
        std::copy_n(work_.visibleMaxima + kvHead * group_, group_, work_.visibleMaxima + at);
        std::copy_n(work_.visibleSums + kvHead * group_, group_, work_.visibleSums + at);
        continue;
      }
      scoreTokens(kvHead, kind == 0 && otherQuery_ ? work_.otherQueries : work_.queries,
                  input_.keys ? visibleRows_[wide(kvHead)] : nullptr, visible.data(), 0, count, out, wide(count));
      for (int head = 0; head < group_; ++head) {
        float* row = out + wide(head * count);
        work_.visibleMaxima[at + wide(head)] = kernels_.maximum(row, count);
        work_.visibleSums[at + wide(head)] = powers(row, count, work_.visibleMaxima[at + wide(head)]);
      }
    }
  }

  float powers(float* x, int n, float largest) const {
    return kernels_.powers(x, n, largest == kMinusInfinity ? 0.0f : largest);
  }

  // Scores of a chunk become powers relative to its largest.
  void finishChunk(int kvHead, int chunk, const Stretch& stretch) {
    forEachDroppedPosition(kvHead, stretch, [&](int position) {
      for (int head = 0; head < group_; ++head) scores(kvHead)[wide(head) * work_.stride() + wide(position)] = kMinusInfinity;
    });
    for (int head = 0; head < group_; ++head) {
      float* row = scores(kvHead) + wide(head) * work_.stride() + stretch.begin;
      const std::size_t at = wide(kvHead * group_ + head) * work_.chunkStride() + wide(chunk);
      work_.maxima[at] = kernels_.maximum(row, stretch.count());
      work_.sums[at] = powers(row, stretch.count(), work_.maxima[at]);
    }
  }

  template <class Dropped>
  void forEachDroppedPosition(int kvHead, const Stretch& stretch, Dropped&& dropped) const {
    const HeadPlan& plan = plans_[wide(kvHead)];
    if (input_.kept.keepsAll() || !index_) return;
    if (!plan.tokens) return forEachDropped(input_.kept, kvHead, stretch.begin, stretch.end, dropped);
    for (int at = stretch.begin; at < stretch.end; ++at) {
      if (!isKept(input_.kept, kvHead, plan.tokens[at])) dropped(at);
    }
  }

  // Powers of all chunks become the values of the candidates.
  void finishCandidates(int kvHead) {
    const int chunks = shape_.chunks;
    for (int head = kvHead * group_; head < (kvHead + 1) * group_; ++head) {
      const std::size_t row = wide(head) * work_.chunkStride();
      float* factors = work_.factors + row;
      std::copy_n(work_.maxima + row, chunks, factors);
      const float most = std::max(kernels_.maximum(factors, chunks), work_.visibleMaxima[head]);
      powers(factors, chunks, most);
      double total = std::exp2(static_cast<double>(work_.visibleMaxima[head] - most)) *
                     static_cast<double>(work_.visibleSums[head]);
      for (int i = 0; i < chunks; ++i)
        total += static_cast<double>(factors[i]) * static_cast<double>(work_.sums[row + wide(i)]);
      const float inverse = static_cast<float>(1.0 / total);
      for (int i = 0; i < chunks; ++i) factors[i] *= inverse;
    }
    float* out = values(kvHead);
    std::fill_n(out, plans_[wide(kvHead)].begin, -1.0f);
    for (int chunk = 0; chunk < chunks; ++chunk) {
      const Stretch stretch = stretchOf(kvHead, chunk);
      kernels_.values(scores(kvHead) + stretch.begin, work_.stride(), group_,
                      work_.factors + wide(kvHead * group_) * work_.chunkStride() + chunk, work_.chunkStride(),
                      stretch.count(), out + stretch.begin);
      forEachDroppedPosition(kvHead, stretch, [&](int position) { out[position] = -1.0f; });
    }
    if (hinted()) gatherHinted(kvHead);
  }

  bool hinted() const { return hint_ && index_ && rule_.poolFactor > 0 && !hint_->keys.empty(); }

  // Candidates whose value is at least a quarter of what the last pool took, or of the smallest normal number.
  void gatherHinted(int kvHead) {
    constexpr std::int32_t kQuarter = 2 << 23, kSmallest = 1 << 23;
    const std::int32_t low = std::max(hint_->keys[wide(kvHead)] - kQuarter, kSmallest);
    std::int32_t* tokens = pool(kvHead);
    const int count = kernels_.findKeys(values(kvHead), plans_[wide(kvHead)].end, low,
                                        std::numeric_limits<std::int32_t>::max(), tokens);
    for (int i = 0; i < count; ++i) {
      poolValues(kvHead)[i] = values(kvHead)[tokens[i]];
      tokens[i] = plans_[wide(kvHead)].tokenAt(tokens[i]);
    }
    work_.counts[kvHead] = count;
  }

  // Whether what the hint lets through holds everything that a pool of this size takes.
  bool hintHolds(const int* wanted) const {
    if (!hinted()) return false;
    const bool joint = rule_.budget.jointHeads;
    int sum = 0, all = 0;
    for (int kvHead = 0; kvHead < numKvHeads_; ++kvHead) {
      const int share = std::min(joint ? wanted[kvHead] / 4 : wanted[kvHead], plans_[wide(kvHead)].candidates);
      if (work_.counts[kvHead] < share) return false;
      sum += wanted[kvHead];
      all += work_.counts[kvHead];
    }
    return !joint || all >= sum;
  }
};

}  // namespace kvasir::selection
