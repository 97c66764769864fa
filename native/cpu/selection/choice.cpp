#include "choice.h"

#include "kept.h"
#include "scored_choice.h"

namespace kvasir::selection {

bool chooseTokens(Context& context, const SelectInput& given, const float* estimateQuery, const SegmentIndex* index,
                  const SegmentRule& rule, PoolHint* hint, TokenChoice& out) {
  const SelectInput input = withCurrentRow(given);
  const int numKvHeads = input.kv.numKvHeads;
  const int indexed = index ? index->numTokens() : input.numTokens;
  out.end = std::max(0, std::min(indexed, input.numTokens - rule.budget.recentTokens));
  // Too short a text for a basis of its own is short enough to score.
  if (index && index->codedTokens() == 0) index = nullptr;
  out.first = std::min(rule.budget.sinkTokens, out.end);
  out.starts.assign(wide(numKvHeads) + 1, 0);
  out.likelyStarts.assign(input.wantsLikely ? wide(numKvHeads) + 1 : 0, 0);

  std::vector<HeadPlan> plans = planHeads(input, rule.budget, out.first, out.end);
  const bool none = std::all_of(plans.begin(), plans.end(), [](const HeadPlan& plan) { return plan.wanted == 0; });
  out.everything = std::all_of(plans.begin(), plans.end(),
                               [](const HeadPlan& plan) { return plan.wanted == plan.candidates; });
  if (none || out.everything) {
    out.certified = rule.certify == Certify::off ? 0 : numKvHeads;
    return true;
  }
  for (int kvHead = 0; kvHead < numKvHeads; ++kvHead) listVisible(input, plans[wide(kvHead)], kvHead);
  std::vector<int> wanted, pooled;
  bool exact = !index;
  if (index) {
    planScans(context, input, estimateQuery, *index, rule, plans);
    if (context.cancelled()) return false;
    exact = rule.poolFactor > 0;
  }
  for (HeadPlan& plan : plans) {
    const int wish = static_cast<int>(std::min<double>(rule.poolFactor * rule.budget.budgetTokens, plan.candidates));
    plan.wanted = std::min(plan.wanted, plan.candidates);
    wanted.push_back(plan.wanted);
    pooled.push_back(std::max(plan.wanted, wish));
    exact = exact && (!index || pooled.back() == plan.candidates);
  }
  if (exact && !input.kept.keepsAll()) {
    for (int kvHead = 0; kvHead < numKvHeads; ++kvHead) listCandidates(input, plans[wide(kvHead)], kvHead);
  }
  Choice choice(context, input, estimateQuery, exact ? nullptr : index, rule, plans, hint);
  if (!choice.scoreCandidates()) return false;
  if (!exact && rule.poolFactor > 0 && !choice.poolCandidates(pooled.data())) return false;
  choice.cut(wanted.data());
  if (rule.certify != Certify::off && !choice.certify(wanted.data(), out)) return false;
  choice.list(out);
  return true;
}

}  // namespace kvasir::selection
