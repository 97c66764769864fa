#include "choice.h"
#include "kvasir/selection.h"
#include "query_state.h"

namespace kvasir {

using namespace selection;

// What stays between steps, a layer each.
struct SegmentSelector::Memory {
  std::vector<RunningQuery> queries;
  std::vector<StandingChoice> choices;
  std::vector<PoolHint> hints;
};

SegmentSelector::SegmentSelector(const SegmentIndex& index, const SegmentRule& rule)
    : index_(index), rule_(rule), memory_(std::make_unique<Memory>()) {
  const std::size_t numLayers = static_cast<std::size_t>(index.shape().numLayers);
  if (rule.query != QueryKind::current) memory_->queries.resize(numLayers);
  if (rule.rerankSteps > 1) memory_->choices.resize(numLayers);
  memory_->hints.resize(numLayers);
}

SegmentSelector::~SegmentSelector() = default;

void SegmentSelector::continueFrom(const SegmentSelector& other) {
  // What the rule has no use for, or the other did not keep, starts anew.
  if (other.memory_->queries.size() == memory_->queries.size()) memory_->queries = other.memory_->queries;
  if (other.memory_->choices.size() == memory_->choices.size()) memory_->choices = other.memory_->choices;
}

void SegmentSelector::select(Context& context, const SelectInput& input, ChosenRuns& out) {
  index_.fetch();
  const std::size_t layer = static_cast<std::size_t>(input.layer);
  const float* estimateQuery = input.q;
  if (!memory_->queries.empty()) {
    estimateQuery = memory_->queries[layer].next(input, index_.numSegments(), rule_.query, rule_.emaDecay);
  }
  StandingChoice* standing = memory_->choices.empty() ? nullptr : &memory_->choices[layer];
  if (standing && standing->stands(input, rule_.rerankSteps, rule_.driftLimit)) {
    writeRuns(input, standing->choice, out, counts);
    counts.reused += 1;
    return;
  }
  TokenChoice fresh;
  TokenChoice& choice = standing ? standing->choice : fresh;
  choice = TokenChoice();
  out.rowStarts.assign(static_cast<std::size_t>(input.kv.numKvHeads) + 1, 0);
  out.runs.clear();
  if (!chooseTokens(context, input, estimateQuery, &index_, rule_, &memory_->hints[layer], choice)) {
    if (standing) standing->forget();
    return;
  }
  writeRuns(input, choice, out, counts);
  counts.pooled += choice.pooled;
  counts.certified += choice.certified;
  out.likelyStarts.swap(choice.likelyStarts);
  out.likely.swap(choice.likely);
  if (standing) standing->stand(input);
}

ExactSelector::ExactSelector(const BudgetRule& rule) : rule_(rule) {}

void ExactSelector::select(Context& context, const SelectInput& input, ChosenRuns& out) {
  SegmentRule rule;
  rule.budget = rule_;
  TokenChoice choice;
  out.rowStarts.assign(static_cast<std::size_t>(input.kv.numKvHeads) + 1, 0);
  out.runs.clear();
  if (!chooseTokens(context, input, input.q, nullptr, rule, nullptr, choice)) return;
  writeRuns(input, choice, out, counts);
  counts.pooled += choice.pooled;
  out.likelyStarts.swap(choice.likelyStarts);
  out.likely.swap(choice.likely);
}

}  // namespace kvasir
