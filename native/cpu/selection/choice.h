// One selection: scores, softmax, budget, runs.
#pragma once

#include "kvasir/selection.h"

namespace kvasir::selection {

// With an index: candidates are chosen by estimates, poolFactor * budget of them by exact scores (see SegmentSelector).
// Without: by exact scores of all. Results do not depend on the number of workers. If the caller aborts, `out` is
// empty.
void chooseRuns(Context& context, const SelectInput& input, const SegmentIndex* index, const BudgetRule& rule,
                double poolFactor, ChosenRuns& out, SelectCounts& counts);

}  // namespace kvasir::selection
