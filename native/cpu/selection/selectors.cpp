#include "choice.h"
#include "kvasir/selection.h"

namespace kvasir {

SegmentSelector::SegmentSelector(const SegmentIndex& index, const BudgetRule& rule, double poolFactor)
    : index_(index), rule_(rule), poolFactor_(poolFactor) {}

void SegmentSelector::select(Context& context, const SelectInput& input, ChosenRuns& out) {
  selection::chooseRuns(context, input, &index_, rule_, poolFactor_, out, counts);
}

ExactSelector::ExactSelector(const BudgetRule& rule) : rule_(rule) {}

void ExactSelector::select(Context& context, const SelectInput& input, ChosenRuns& out) {
  selection::chooseRuns(context, input, nullptr, rule_, 0, out, counts);
}

}  // namespace kvasir
