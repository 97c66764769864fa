#include "selection_rule.h"

#include <algorithm>

namespace kvasir::gpu {
namespace {

constexpr int kMaxTokens = 1 << 24;  // of selectRuns
constexpr int kMaxGroup = 16;
constexpr int kMaxRows = 40;  // KVASIR_CUT_MAX_ROWS

bool isSame(const BudgetRule& a, const BudgetRule& b) {
  return a.budgetTokens == b.budgetTokens && a.sinkTokens == b.sinkTokens && a.recentTokens == b.recentTokens && a.jointHeads == b.jointHeads;
}

bool isSame(const SelectionRule& a, const SelectionRule& b) {
  return isSame(a.budget, b.budget) && a.poolTokens == b.poolTokens && a.exact == b.exact && a.index.codeBits == b.index.codeBits &&
         a.index.vectorBits == b.index.vectorBits;
}

std::optional<SelectionRule> ruleOf(const SelectorChoice& choice, const ArenaShape& arena) {
  if (choice.kind != SelectorChoice::native) return std::nullopt;
  SelectionRule rule;
  if (const auto* exact = dynamic_cast<const ExactSelector*>(choice.selector)) {
    rule.budget = exact->rule();
    rule.exact = true;
    return rule;
  }
  const auto* selector = dynamic_cast<const SegmentSelector*>(choice.selector);
  if (selector == nullptr) return std::nullopt;
  const SegmentRule& own = selector->rule();
  const SegmentIndex& index = selector->index();
  const SegmentIndexShape& shape = index.shape();
  const bool isCurrent = own.query == QueryKind::current && own.rerankSteps == 1 && own.certify == Certify::off;
  const bool isHere = index.codedTokens() == 0 || DeviceIndex::of(index) != nullptr;
  const bool fits = shape.headDim == arena.headDim && shape.numKvHeads == arena.numKvHeads && shape.numLayers == arena.numLayers;
  if (!isCurrent || !isHere || !fits || !DeviceIndex::holds(shape)) return std::nullopt;
  const double pool = own.poolFactor * own.budget.budgetTokens;
  // A pool of less than a token is one to the CPU.
  if (pool > 0 && pool < 1) return std::nullopt;
  rule.budget = own.budget;
  rule.poolTokens = static_cast<int>(std::min<double>(pool, kMaxTokens));
  rule.index = {shape.headDim, shape.codeBits, shape.vectorBits, shape.numKvHeads, 0, 0};
  return rule;
}

std::int64_t roundedUp(std::int64_t count, int to) { return (count + to - 1) / to * to; }

}  // namespace

const SegmentIndex* indexOf(const SelectorChoice& choice) {
  const auto* selector = dynamic_cast<const SegmentSelector*>(choice.selector);
  return selector == nullptr ? nullptr : &selector->index();
}

std::optional<SelectionRule> SelectionRule::of(const Run& run, const SelectRunsStep& step) {
  // The op reads K rows where they lie.
  if (dynamic_cast<const DeviceArena*>(step.arena) == nullptr) return std::nullopt;
  const ArenaShape& arena = step.arena->shape;
  if (run.selectors.empty() || arena.numKvHeads > kMaxRows || step.numHeads / arena.numKvHeads > kMaxGroup) return std::nullopt;
  if (arena.headDim > KVASIR_INDEX_MAX_DIM) return std::nullopt;
  const Batch batch = step.batch.of(run);
  for (int s = 0; s < batch.numSequences; ++s) {
    const KeptRows* kept = run.kept[static_cast<std::size_t>(s)];
    const bool fits = kept == nullptr || (kept->numLayers() == arena.numLayers && kept->numKvHeads() == arena.numKvHeads);
    if (!fits || batch.contextTokens[s] < 1 || batch.contextTokens[s] > kMaxTokens) return std::nullopt;
  }
  const std::optional<SelectionRule> first = ruleOf(run.selectors.front(), arena);
  for (std::size_t s = 1; s < run.selectors.size() && first; ++s) {
    const std::optional<SelectionRule> other = ruleOf(run.selectors[s], arena);
    if (!other || !isSame(*first, *other)) return std::nullopt;
  }
  return first;
}

SelectionBounds SelectionBounds::of(const Run& run, const SelectRunsStep& step, const SelectionRule& rule) {
  SelectionBounds bounds;
  const Batch batch = step.batch.of(run);
  const std::int64_t rows = step.arena->shape.numKvHeads, budget = rule.budget.budgetTokens;
  std::int64_t most = 0, segments = 0, longest = 0, listed = 0;
  for (int s = 0; s < batch.numSequences; ++s) {
    const SegmentIndex* index = indexOf(run.selectors[static_cast<std::size_t>(s)]);
    const std::int64_t numTokens = batch.contextTokens[s], indexed = index == nullptr ? numTokens : index->numTokens();
    const std::int64_t end = std::max<std::int64_t>(0, std::min(indexed, numTokens - rule.budget.recentTokens));
    const std::int64_t visible = std::min<std::int64_t>(rule.budget.sinkTokens, end) + numTokens - end;
    const bool keepsAll = run.kept[static_cast<std::size_t>(s)] == nullptr;
    const std::int64_t own = std::max(visible, budget);
    // One row may get what all leave to the best of any.
    const std::int64_t joint = visible + rows * (keepsAll ? std::max<std::int64_t>(0, budget - visible) : budget);
    longest = std::max(longest, std::min(numTokens, rule.budget.jointHeads ? std::max(own, joint) : own));
    listed = std::max(listed, rows * std::min(numTokens, own));
    most = std::max(most, numTokens);
    if (index == nullptr || rule.exact) continue;
    bounds.allCoded = bounds.allCoded && index->codedTokens() > 0;
    if (index->codedTokens() > 0) segments = std::max<std::int64_t>(segments, index->numSegments());
  }
  bounds.maxTokens = static_cast<int>(std::min<std::int64_t>(kMaxTokens, roundedUp(most, KVASIR_SELECT_CHUNK)));
  bounds.maxSegments = static_cast<int>(roundedUp(segments, 128));
  bounds.maxListTokens = static_cast<int>(roundedUp(longest, KVASIR_LONG_SPLIT_TOKENS));
  bounds.maxRuns = static_cast<std::size_t>(batch.numSequences) * static_cast<std::size_t>(roundedUp(listed, 1024));
  return bounds;
}

}  // namespace kvasir::gpu
