#include "choice.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>

#include "budget.h"
#include "kernels.h"
#include "layout.h"
#include "runs.h"

namespace kvasir::selection {
namespace {

// Tokens of one task; fixed, so that sums do not depend on the number of workers.
constexpr int kChunkTokens = 512;
constexpr int kMaxParts = 8;
constexpr int kSerialTokens = 4096;

// Always visible: [0, first) and [end, numTokens). Candidates: [first, end).
struct Split {
  int first;
  int end;
};

Split splitTokens(const SelectInput& input, const SegmentIndex* index, const BudgetRule& rule) {
  const int indexed = index ? index->numTokens() : input.numTokens;
  const int end = std::max(0, std::min(indexed, input.numTokens - rule.recentTokens));
  return {std::min(rule.sinkTokens, end), end};
}

// Cuts one block of memory into arrays.
class Layout {
 public:
  std::size_t place(std::size_t bytes) {
    const std::size_t at = bytes_;
    bytes_ += (bytes + 63) / 64 * 64;
    return at;
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::size_t bytes_ = 0;
};

class Choice {
 public:
  Choice(Context& context, const SelectInput& input, const SegmentIndex* index, const BudgetRule& rule, Split split)
      : context_(context),
        input_(input),
        index_(index),
        rule_(rule),
        split_(split),
        kernels_(kernelsFor(context.isa())),
        numKvHeads_(input.kv.numKvHeads),
        group_(input.numHeads / input.kv.numKvHeads),
        paddedDim_(codeUnits(input.kv.headDim) * kUnitChannels),
        numCandidates_(split.end - split.first),
        chunks_((numCandidates_ + kChunkTokens - 1) / kChunkTokens),
        parts_(std::min(kMaxParts, (chunks_ + 3) / 4)),
        stride_(static_cast<std::size_t>(chunks_) * kChunkTokens),
        factorStride_(static_cast<std::size_t>(chunks_) + 1) {
    takeMemory();
    padQueries();
  }

  // Softmax numerators of all candidates, by estimate or exactly. False if aborted, as all phases.
  bool scoreCandidates(bool exact) {
    const bool fetched = input_.keys != nullptr;
    if (fetched && exact && !scoreFetched()) return false;
    if (fetched && !fetchVisible()) return false;
    context_.forEach(numKvHeads_ * (chunks_ + 1), [&](int task, int worker) {
      if (context_.cancelled()) return;
      const int kvHead = task % numKvHeads_, chunk = task / numKvHeads_;
      if (chunk == chunks_) return scoreVisible(kvHead, worker);
      const int offset = chunk * kChunkTokens, count = std::min(kChunkTokens, numCandidates_ - offset);
      if (!exact) {
        estimate(kvHead, offset, count, worker);
      } else if (!fetched) {
        scoreTokens(kvHead, nullptr, nullptr, split_.first + offset, count, scores(kvHead) + offset);
      }
      finishChunk(kvHead, chunk, count);
    });
    if (context_.cancelled()) return false;
    findFactors();

    // Values of the candidates, in a few parts a head so that their histograms can be counted side by side.
    context_.forEach(numKvHeads_ * parts_, [&](int task, int) {
      if (context_.cancelled()) return;
      const int kvHead = task / parts_, part = task % parts_;
      const int firstChunk = chunks_ * part / parts_, endChunk = chunks_ * (part + 1) / parts_;
      std::uint32_t* counts = histograms_ + static_cast<std::size_t>(part * numKvHeads_ + kvHead) * kBuckets;
      std::memset(counts, 0, kBuckets * sizeof *counts);
      for (int chunk = firstChunk; chunk < endChunk; ++chunk) {
        const int offset = chunk * kChunkTokens, count = std::min(kChunkTokens, numCandidates_ - offset);
        kernels_.values(scores(kvHead) + offset, stride_, group_, factors(kvHead) + chunk, factorStride_, count,
                        values(kvHead) + offset);
        kernels_.histogram(values(kvHead) + offset, count, counts);
      }
    });
    if (context_.cancelled()) return false;
    std::fill_n(counts_, numKvHeads_, numCandidates_);
    const std::size_t all = static_cast<std::size_t>(numKvHeads_) * kBuckets;
    for (std::size_t part = 1; part < static_cast<std::size_t>(parts_); ++part) {
      for (std::size_t i = 0; i < all; ++i) histograms_[i] += histograms_[part * all + i];
    }
    return true;
  }

  // Narrows the candidates to a pool of poolTokens a head, with exact scores.
  bool poolCandidates(int poolTokens) {
    cutRows(kernels_, candidateRows(), histograms_, poolTokens, rule_.jointHeads, positions_, cuts_);
    context_.forEach(numKvHeads_ * chunks_, [&](int task, int) {
      if (context_.cancelled()) return;
      const int kvHead = task % numKvHeads_, chunk = task / numKvHeads_, offset = chunk * kChunkTokens;
      std::int32_t* tokens = tokens_ + static_cast<std::size_t>(kvHead) * stride_ + offset;
      const ValueRows row = chunkRow(kvHead, chunk);
      Cut cut = cuts_[kvHead];
      cut.token -= offset;
      const int count = keptTokens(kernels_, row, 0, cut, tokens);
      for (int i = 0; i < count; ++i) tokens[i] += split_.first + offset;
      chunkCounts_[kvHead * chunks_ + chunk] = count;
      if (input_.keys) return;
      scoreTokens(kvHead, nullptr, tokens, 0, count, scores(kvHead) + offset);
      finishChunk(kvHead, chunk, count);
    });
    if (context_.cancelled() || (input_.keys && !scoreFetchedPool())) return false;
    findFactors();

    // Values and tokens of a head's pool, closed up; a small pool is not worth a fork.
    auto closeUp = [&](int kvHead, int) {
      std::uint32_t* counts = histograms_ + static_cast<std::size_t>(kvHead) * kBuckets;
      std::memset(counts, 0, kBuckets * sizeof *counts);
      std::int32_t* tokens = tokens_ + static_cast<std::size_t>(kvHead) * stride_;
      int filled = 0;
      for (int chunk = 0; chunk < chunks_; ++chunk) {
        const int offset = chunk * kChunkTokens, count = chunkCounts_[kvHead * chunks_ + chunk];
        kernels_.values(scores(kvHead) + offset, stride_, group_, factors(kvHead) + chunk, factorStride_, count,
                        values(kvHead) + filled);
        std::memmove(tokens + filled, tokens + offset, static_cast<std::size_t>(count) * sizeof *tokens);
        filled += count;
      }
      counts_[kvHead] = filled;
      kernels_.histogram(values(kvHead), filled, counts);
    };
    if (static_cast<std::int64_t>(poolTokens) * numKvHeads_ > kSerialTokens) {
      context_.forEach(numKvHeads_, closeUp);
    } else {
      for (int kvHead = 0; kvHead < numKvHeads_; ++kvHead) closeUp(kvHead, 0);
    }
    pooled_ = true;
    return true;
  }

  void cutToBudget(int tokens) {
    cutRows(kernels_, candidateRows(), histograms_, tokens, rule_.jointHeads, positions_, cuts_);
  }

  // What the pool holds beside the kept tokens, ascending.
  void appendRest(int kvHead, const std::int32_t* kept, int count, std::vector<std::int32_t>& out) const {
    if (!pooled_) return;
    const std::int32_t* pool = tokens_ + static_cast<std::size_t>(kvHead) * stride_;
    std::set_difference(pool, pool + counts_[kvHead], kept, kept + count, std::back_inserter(out));
  }

  // Kept candidates of a KV head, ascending.
  int kept(int kvHead, const std::int32_t** tokens) {
    const int count = keptTokens(kernels_, candidateRows(), kvHead, cuts_[kvHead], positions_);
    if (!pooled_) {
      for (int i = 0; i < count; ++i) positions_[i] += split_.first;
    }
    *tokens = positions_;
    return count;
  }

  int poolSize() const {
    int size = 0;
    for (int kvHead = 0; kvHead < numKvHeads_; ++kvHead) size += counts_[kvHead];
    return size;
  }

 private:
  void takeMemory() {
    const std::size_t heads = static_cast<std::size_t>(input_.numHeads),
                      kvHeads = static_cast<std::size_t>(numKvHeads_);
    Layout layout;
    const std::size_t queries = layout.place(heads * static_cast<std::size_t>(paddedDim_) * 4);
    const std::size_t scores = layout.place(heads * stride_ * 4);
    const std::size_t values = layout.place(kvHeads * stride_ * 4);
    const std::size_t tokens = layout.place(kvHeads * stride_ * 4);
    const std::size_t positions = layout.place(stride_ * 4);
    const std::size_t maxima = layout.place(heads * factorStride_ * 4);
    const std::size_t sums = layout.place(heads * factorStride_ * 4);
    const std::size_t factors = layout.place(heads * factorStride_ * 4);
    const std::size_t chunkCounts = layout.place(kvHeads * static_cast<std::size_t>(chunks_) * 4);
    const std::size_t counts = layout.place(kvHeads * 4);
    const std::size_t cuts = layout.place(kvHeads * sizeof(Cut));
    const std::size_t histograms = layout.place(kvHeads * static_cast<std::size_t>(parts_) * kBuckets * 4);
    std::byte* base = context_.shared(layout.bytes());
    queries_ = reinterpret_cast<float*>(base + queries);
    scores_ = reinterpret_cast<float*>(base + scores);
    values_ = reinterpret_cast<float*>(base + values);
    tokens_ = reinterpret_cast<std::int32_t*>(base + tokens);
    positions_ = reinterpret_cast<std::int32_t*>(base + positions);
    maxima_ = reinterpret_cast<float*>(base + maxima);
    sums_ = reinterpret_cast<float*>(base + sums);
    factors_ = reinterpret_cast<float*>(base + factors);
    chunkCounts_ = reinterpret_cast<std::int32_t*>(base + chunkCounts);
    counts_ = reinterpret_cast<std::int32_t*>(base + counts);
    cuts_ = reinterpret_cast<Cut*>(base + cuts);
    histograms_ = reinterpret_cast<std::uint32_t*>(base + histograms);
  }

  void padQueries() {
    const int dim = input_.kv.headDim;
    for (int head = 0; head < input_.numHeads; ++head) {
      float* q = queries_ + static_cast<std::size_t>(head) * static_cast<std::size_t>(paddedDim_);
      std::memcpy(q, input_.q + static_cast<std::size_t>(head) * static_cast<std::size_t>(dim),
                  static_cast<std::size_t>(dim) * 4);
      std::fill(q + dim, q + paddedDim_, 0.0f);
    }
  }

  float* query(int kvHead) const {
    return queries_ + static_cast<std::size_t>(kvHead * group_) * static_cast<std::size_t>(paddedDim_);
  }
  float* scores(int kvHead) const { return scores_ + static_cast<std::size_t>(kvHead * group_) * stride_; }
  float* values(int kvHead) const { return values_ + static_cast<std::size_t>(kvHead) * stride_; }
  float* factors(int kvHead) const { return factors_ + static_cast<std::size_t>(kvHead * group_) * factorStride_; }

  ValueRows candidateRows() const { return {values_, pooled_ ? tokens_ : nullptr, stride_, counts_, numKvHeads_}; }
  // A chunk of the unpooled candidates as a row of its own, tokens counted from its start.
  ValueRows chunkRow(int kvHead, int chunk) const {
    static constexpr std::int32_t full = kChunkTokens;
    const int offset = chunk * kChunkTokens;
    const bool last = chunk == chunks_ - 1;
    return {values(kvHead) + offset, nullptr, stride_, last ? &lastCount_ : &full, 1};
  }

  // Of tokens named by address, by index or, with neither, from `first` on.
  void scoreTokens(int kvHead, const std::uint8_t* const* rows, const std::int32_t* tokens, int first, int count,
                   float* out, std::size_t outStride = 0) const {
    kernels_.score({headKeys(input_.kv, input_.layer, kvHead, input_.pages), rows, tokens, first, count, query(kvHead),
                    group_, input_.scale, out, outStride > 0 ? outStride : stride_});
  }

  bool fetchVisible() {
    std::vector<std::int32_t> visible;
    for (int token = 0; token < split_.first; ++token) visible.push_back(token);
    for (int token = split_.end; token < input_.numTokens; ++token) visible.push_back(token);
    visibleRows_.resize(static_cast<std::size_t>(numKvHeads_));
    for (int kvHead = 0; kvHead < numKvHeads_; ++kvHead) {
      const auto rows = input_.keys->rows(context_, kvHead, visible.data(), static_cast<int>(visible.size()));
      if (!rows) return false;
      visibleRows_[static_cast<std::size_t>(kvHead)] = rows;
    }
    return true;
  }

  // Exact scores of all candidates, a chunk of rows at a time, so that not all need be at hand at once.
  bool scoreFetched() {
    std::vector<std::int32_t> tokens(kChunkTokens);
    std::vector<const std::uint8_t* const*> rows(static_cast<std::size_t>(numKvHeads_));
    for (int chunk = 0; chunk < chunks_; ++chunk) {
      const int offset = chunk * kChunkTokens, count = std::min(kChunkTokens, numCandidates_ - offset);
      for (int i = 0; i < count; ++i) tokens[static_cast<std::size_t>(i)] = split_.first + offset + i;
      for (int kvHead = 0; kvHead < numKvHeads_; ++kvHead) {
        const auto found = input_.keys->rows(context_, kvHead, tokens.data(), count);
        if (!found) return false;
        rows[static_cast<std::size_t>(kvHead)] = found;
      }
      context_.forEach(numKvHeads_, [&](int kvHead, int) {
        scoreTokens(kvHead, rows[static_cast<std::size_t>(kvHead)], nullptr, 0, count, scores(kvHead) + offset);
      });
    }
    return true;
  }

  // Exact scores of the pool: all rows of a KV head asked for together.
  bool scoreFetchedPool() {
    std::vector<std::int32_t> tokens;
    std::vector<const std::uint8_t* const*> rows(static_cast<std::size_t>(numKvHeads_));
    for (int kvHead = 0; kvHead < numKvHeads_; ++kvHead) {
      tokens.clear();
      for (int chunk = 0; chunk < chunks_; ++chunk) {
        const std::int32_t* part = tokens_ + static_cast<std::size_t>(kvHead) * stride_ + chunk * kChunkTokens;
        tokens.insert(tokens.end(), part, part + chunkCounts_[kvHead * chunks_ + chunk]);
      }
      const auto found = input_.keys->rows(context_, kvHead, tokens.data(), static_cast<int>(tokens.size()));
      if (!found) return false;
      rows[static_cast<std::size_t>(kvHead)] = found;
    }
    context_.forEach(numKvHeads_, [&](int kvHead, int) {
      const std::uint8_t* const* row = rows[static_cast<std::size_t>(kvHead)];
      for (int chunk = 0; chunk < chunks_; ++chunk) {
        const int count = chunkCounts_[kvHead * chunks_ + chunk];
        scoreTokens(kvHead, row, nullptr, 0, count, scores(kvHead) + chunk * kChunkTokens);
        finishChunk(kvHead, chunk, count);
        row += count;
      }
    });
    return !context_.cancelled();
  }

  void estimate(int kvHead, int offset, int count, int worker) {
    const SegmentIndex::HeadView view = index_->head(input_.layer, kvHead);
    const std::vector<std::int32_t>& ends = index_->ends();
    const int start = split_.first + offset;
    const int segment = static_cast<int>(std::upper_bound(ends.begin(), ends.end(), start) - ends.begin());
    const std::size_t weightBytes = static_cast<std::size_t>(group_) * static_cast<std::size_t>(paddedDim_);
    std::int8_t* weights = reinterpret_cast<std::int8_t*>(context_.scratch(worker, weightBytes));
    std::memset(weights, 0, weightBytes);
    kernels_.scan({view.stats, view.codes, view.planeBytes, ends.data(), segment, start, start + count,
                   input_.kv.headDim, index_->shape().codeBits, query(kvHead), group_, input_.scale, weights,
                   scores(kvHead) + offset, stride_});
  }

  // Largest score and sum of the softmax numerators of the always-visible tokens; their values are not needed.
  void scoreVisible(int kvHead, int worker) {
    const int after = input_.numTokens - split_.end, stride = std::max(split_.first, after);
    float* out = reinterpret_cast<float*>(context_.scratch(worker, static_cast<std::size_t>(2 * stride * group_) * 4));
    float* behind = out + static_cast<std::size_t>(stride) * static_cast<std::size_t>(group_);
    const std::uint8_t* const* rows = input_.keys ? visibleRows_[static_cast<std::size_t>(kvHead)] : nullptr;
    scoreTokens(kvHead, rows, nullptr, 0, split_.first, out, static_cast<std::size_t>(stride));
    scoreTokens(kvHead, rows ? rows + split_.first : nullptr, nullptr, split_.end, after, behind,
                static_cast<std::size_t>(stride));
    for (int head = 0; head < group_; ++head) {
      float* sinks = out + head * stride;
      float* recent = behind + head * stride;
      const float most = std::max(kernels_.maximum(sinks, split_.first), kernels_.maximum(recent, after));
      const std::size_t at =
          static_cast<std::size_t>(kvHead * group_ + head) * factorStride_ + static_cast<std::size_t>(chunks_);
      maxima_[at] = most;
      sums_[at] = kernels_.exponentials(sinks, split_.first, most) + kernels_.exponentials(recent, after, most);
    }
  }

  // Scores of a chunk become softmax numerators relative to its largest.
  void finishChunk(int kvHead, int chunk, int count) {
    for (int head = 0; head < group_; ++head) {
      float* row =
          scores(kvHead) + static_cast<std::size_t>(head) * stride_ + static_cast<std::size_t>(chunk) * kChunkTokens;
      const std::size_t at =
          static_cast<std::size_t>(kvHead * group_ + head) * factorStride_ + static_cast<std::size_t>(chunk);
      maxima_[at] = kernels_.maximum(row, count);
      sums_[at] = kernels_.exponentials(row, count, maxima_[at]);
    }
  }

  // What turns the numerators of each chunk into probabilities: exp(chunk's maximum - maximum) / denominator.
  void findFactors() {
    const int n = chunks_ + 1;
    for (int head = 0; head < input_.numHeads; ++head) {
      const std::size_t row = static_cast<std::size_t>(head) * factorStride_;
      float* factors = factors_ + row;
      std::copy_n(maxima_ + row, n, factors);
      kernels_.exponentials(factors, n, kernels_.maximum(factors, n));
      double total = 0;
      for (int i = 0; i < n; ++i)
        total += static_cast<double>(factors[i]) * static_cast<double>(sums_[row + static_cast<std::size_t>(i)]);
      const float inverse = static_cast<float>(1.0 / total);
      for (int i = 0; i < n; ++i) factors[i] *= inverse;
    }
  }

  Context& context_;
  const SelectInput& input_;
  const SegmentIndex* index_;
  const BudgetRule& rule_;
  const Split split_;
  const Kernels& kernels_;
  const int numKvHeads_, group_, paddedDim_, numCandidates_, chunks_, parts_;
  const std::size_t stride_, factorStride_;
  const std::int32_t lastCount_ = numCandidates_ - (chunks_ - 1) * kChunkTokens;
  bool pooled_ = false;

  float* queries_;             // [numHeads][paddedDim]
  float* scores_;              // [numHeads][stride] scores, then softmax numerators
  float* values_;              // [numKvHeads][stride]
  std::int32_t* tokens_;       // [numKvHeads][stride] of the pool
  std::int32_t* positions_;    // [stride] work
  float* maxima_;              // [numHeads][chunks + 1], the last for the always-visible tokens
  float* sums_;                // the same
  float* factors_;             // the same
  std::int32_t* chunkCounts_;  // [numKvHeads][chunks] pooled tokens
  std::int32_t* counts_;       // [numKvHeads] values in a row
  Cut* cuts_;                  // [numKvHeads]
  std::uint32_t* histograms_;  // [parts][numKvHeads][kBuckets]
  std::vector<const std::uint8_t* const*> visibleRows_;  // [numKvHeads], with a source of keys
};

}  // namespace

void chooseRuns(Context& context, const SelectInput& input, const SegmentIndex* index, const BudgetRule& rule,
                double poolFactor, ChosenRuns& out, SelectCounts& counts) {
  const int numKvHeads = input.kv.numKvHeads;
  const Split split = splitTokens(input, index, rule);
  const int numCandidates = split.end - split.first;
  const int numVisible = input.numTokens - numCandidates;
  const int wanted = std::min(numCandidates, std::max(0, rule.budgetTokens - numVisible));
  const bool all = wanted == numCandidates;
  out.rowStarts.assign(static_cast<std::size_t>(numKvHeads) + 1, 0);
  out.runs.clear();
  out.likelyStarts.assign(input.wantsLikely ? static_cast<std::size_t>(numKvHeads) + 1 : 0, 0);
  out.likely.clear();

  double pooled = 0;
  std::int64_t attended = static_cast<std::int64_t>(numVisible + (all ? numCandidates : 0)) * numKvHeads;
  const auto write = [&](auto&& chosenOf) {
    RunWriter writer(out.runs);
    for (int kvHead = 0; kvHead < numKvHeads; ++kvHead) {
      writer.span(0, split.first);
      if (all) writer.span(split.first, split.end);
      else chosenOf(kvHead, writer);
      writer.span(split.end, input.numTokens);
      writer.flush();
      out.rowStarts[static_cast<std::size_t>(kvHead) + 1] = static_cast<std::int32_t>(out.runs.size());
    }
  };
  if (all || wanted == 0) {
    write([](int, RunWriter&) {});
  } else {
    const double poolWish = poolFactor * rule.budgetTokens;
    const int poolTokens =
        poolFactor > 0 ? std::max(wanted, static_cast<int>(std::min<double>(poolWish, numCandidates))) : 0;
    const bool exact = !index || poolTokens == numCandidates;
    Choice choice(context, input, index, rule, split);
    if (!choice.scoreCandidates(exact)) return;
    if (!exact && poolTokens > 0 && !choice.poolCandidates(poolTokens)) return;
    if (exact || poolTokens > 0) pooled = choice.poolSize();
    choice.cutToBudget(wanted);
    write([&](int kvHead, RunWriter& writer) {
      const std::int32_t* tokens;
      const int count = choice.kept(kvHead, &tokens);
      for (int i = 0; i < count; ++i) writer.span(tokens[i], tokens[i] + 1);
      attended += count;
      if (!input.wantsLikely) return;
      choice.appendRest(kvHead, tokens, count, out.likely);
      out.likelyStarts[static_cast<std::size_t>(kvHead) + 1] = static_cast<std::int32_t>(out.likely.size());
    });
  }
  counts.calls += 1;
  counts.attended += static_cast<double>(attended);
  counts.pooled += pooled;
}

}  // namespace kvasir::selection
