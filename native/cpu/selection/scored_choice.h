// The phases of one choice, over arrays of the Context's shared memory.
#pragma once

#include <iterator>

#include "candidate_scores.h"
#include "certificate.h"
#include "choice.h"

namespace kvasir::selection {

class Choice : private CandidateScores {
 public:
  using CandidateScores::CandidateScores;
  using CandidateScores::scoreCandidates;

  // Scores the best candidates of each head exactly: wanted[head] of them on average.
  bool poolCandidates(const int* wanted) {
    const ValueRows rows = hintHolds(wanted) ? poolRows() : candidateRows();
    cutRows(kernels_, rows, wanted, rule_.budget.jointHeads, work_.work, work_.poolCuts);
    for (int kvHead = 0; kvHead < numKvHeads_; ++kvHead) {
      work_.counts[kvHead] = keptTokens(kernels_, rows, kvHead, work_.poolCuts[kvHead], work_.work, pool(kvHead));
    }
    if (hint_) {
      hint_->keys.resize(wide(numKvHeads_));
      for (int kvHead = 0; kvHead < numKvHeads_; ++kvHead) hint_->keys[wide(kvHead)] = work_.poolCuts[kvHead].key;
    }
    pooled_ = true;
    return scorePool();
  }

  // Cuts the pool, or the candidates, to the budget.
  void cut(const int* wanted) {
    cutRows(kernels_, chosenRows(), wanted, rule_.budget.jointHeads, work_.work, work_.cuts);
  }

  // After cut(): how many KV heads are proven. Certify::extend: scores what is in doubt and cuts again.
  bool certify(const int* wanted, TokenChoice& out) {
    if (!pooled_) {
      out.certified = index_ ? 0 : numKvHeads_;
      return true;
    }
    std::vector<std::vector<std::int32_t>> doubtful(wide(numKvHeads_));
    const bool report = rule_.certify == Certify::report;
    context_.forEach(numKvHeads_, [&](int kvHead, int) {
      if (context_.cancelled()) return;
      const int head = kvHead * group_;
      const Bounds bounds = {kernels_,
                             *index_,
                             input_,
                             plans_[wide(kvHead)],
                             kvHead,
                             group_,
                             scores(kvHead),
                             work_.stride(),
                             work_.maxima + wide(head) * work_.chunkStride(),
                             work_.chunkStride(),
                             work_.poolLogSums + head,
                             query(work_.queries, kvHead),
                             values(kvHead),
                             work_.poolCuts[kvHead]};
      doubtful[wide(kvHead)] = tokensInDoubt(bounds, work_.cuts[kvHead].key, report);
    });
    if (context_.cancelled()) return false;
    for (const std::vector<std::int32_t>& tokens : doubtful) out.certified += !report || tokens.empty() ? 1 : 0;
    if (report) return true;
    if (!extendPool(doubtful)) return false;
    cut(wanted);
    return true;
  }

  // The kept tokens of each head, ascending, and what else the pool holds.
  void list(TokenChoice& out) {
    const ValueRows rows = chosenRows();
    for (int kvHead = 0; kvHead < numKvHeads_; ++kvHead) {
      const std::size_t start = out.tokens.size();
      out.tokens.resize(start + wide(rows.counts[kvHead]));
      const int count = keptTokens(kernels_, rows, kvHead, work_.cuts[kvHead], work_.work, out.tokens.data() + start);
      out.tokens.resize(start + wide(count));
      out.starts[wide(kvHead) + 1] = static_cast<std::int32_t>(out.tokens.size());
      if (pooled_ || !index_) out.pooled += rows.candidates[kvHead];
      if (!input_.wantsLikely) continue;
      if (pooled_) {
        std::set_difference(pool(kvHead), pool(kvHead) + work_.counts[kvHead],
                            out.tokens.begin() + static_cast<std::ptrdiff_t>(start), out.tokens.end(),
                            std::back_inserter(out.likely));
      }
      out.likelyStarts[wide(kvHead) + 1] = static_cast<std::int32_t>(out.likely.size());
    }
  }

 private:
  // Exact scores of the pool, by the address of each row where keys are fetched: all of a KV head together.
  bool scorePool() {
    std::vector<const std::uint8_t* const*> rows(wide(numKvHeads_), nullptr);
    for (int kvHead = 0; kvHead < numKvHeads_ && input_.keys; ++kvHead) {
      input_.keys->expect(kvHead, pool(kvHead), work_.counts[kvHead]);
    }
    int most = 0;
    for (int kvHead = 0; kvHead < numKvHeads_; ++kvHead) {
      const int count = work_.counts[kvHead];
      most = std::max(most, pieces(count, kPieceTokens));
      if (count == 0) finishPool(kvHead);
      if (!input_.keys) continue;
      rows[wide(kvHead)] = input_.keys->rows(context_, kvHead, pool(kvHead), count);
      if (!rows[wide(kvHead)]) return false;
    }
    startHeads([&](int kvHead) { return pieces(work_.counts[kvHead], kPieceTokens); });
    context_.forEach(numKvHeads_ * most, [&](int task, int) {
      const int kvHead = task % numKvHeads_, first = task / numKvHeads_ * kPieceTokens;
      const int count = std::min(kPieceTokens, work_.counts[kvHead] - first);
      if (context_.cancelled() || count <= 0) return;
      scoreTokens(kvHead, work_.queries, rows[wide(kvHead)] ? rows[wide(kvHead)] + first : nullptr, pool(kvHead) + first,
                  0, count, poolScores(kvHead) + first, work_.poolStride());
      if (endsHead(kvHead)) finishPool(kvHead);
    });
    return !context_.cancelled();
  }

  void finishPool(int kvHead) {
    const int count = work_.counts[kvHead];
    float* factors = work_.factors + wide(kvHead * group_) * work_.chunkStride();
    for (int head = 0; head < group_; ++head) {
      const std::size_t at = wide(input_.numHeads + kvHead * group_ + head);
      float* row = poolScores(kvHead) + wide(head) * work_.poolStride();
      const float most = kernels_.maximum(row, count), visible = work_.visibleMaxima[at];
      const float largest = std::max(most, visible);
      const float sum = powers(row, count, largest) + work_.visibleSums[at] * std::exp2(visible - largest);
      factors[wide(head) * work_.chunkStride()] = 1.0f / sum;
      work_.poolLogSums[kvHead * group_ + head] = largest + std::log2(sum);
    }
    kernels_.values(poolScores(kvHead), work_.poolStride(), group_, factors, work_.chunkStride(), count,
                    poolValues(kvHead));
  }

  // Adds tokens to the pool, valued as the pool is: under the denominators that it had.
  bool extendPool(const std::vector<std::vector<std::int32_t>>& tokens) {
    for (int kvHead = 0; kvHead < numKvHeads_; ++kvHead) {
      const std::vector<std::int32_t>& added = tokens[wide(kvHead)];
      const int count = static_cast<int>(added.size()), before = work_.counts[kvHead];
      if (count == 0) continue;
      const std::uint8_t* const* rows = nullptr;
      if (input_.keys && !(rows = input_.keys->rows(context_, kvHead, added.data(), count))) return false;
      std::vector<float> scores(wide(count * group_)), values(wide(count)), factors(wide(group_));
      context_.forEach(pieces(count, kPieceTokens), [&](int piece, int) {
        const int first = piece * kPieceTokens;
        scoreTokens(kvHead, work_.queries, rows ? rows + first : nullptr, added.data() + first, 0,
                    std::min(kPieceTokens, count - first), scores.data() + first, wide(count));
      });
      for (int head = 0; head < group_; ++head) {
        float* row = scores.data() + wide(head * count);
        const float most = kernels_.maximum(row, count);
        powers(row, count, most);
        factors[wide(head)] = std::exp2(most - work_.poolLogSums[kvHead * group_ + head]);
      }
      kernels_.values(scores.data(), wide(count), group_, factors.data(), 1, count, values.data());
      mergeFromBehind(pool(kvHead), poolValues(kvHead), before, added, values);
      work_.counts[kvHead] = before + count;
    }
    return !context_.cancelled();
  }

  static void mergeFromBehind(std::int32_t* tokens, float* values, int count, const std::vector<std::int32_t>& added,
                              const std::vector<float>& addedValues) {
    int to = count + static_cast<int>(added.size()), from = count;
    for (std::size_t next = added.size(); next > 0;) {
      const bool own = from > 0 && tokens[from - 1] > added[next - 1];
      if (!own) --next;
      else --from;
      --to;
      tokens[to] = own ? tokens[from] : added[next];
      values[to] = own ? values[from] : addedValues[next];
    }
  }
};

}  // namespace kvasir::selection
