// One choice: which tokens of one layer attention reads, before it is written as runs.
#pragma once

#include <vector>

#include "kvasir/selection.h"

namespace kvasir::selection {

// Tokens chosen beside the always visible ones: [0, first) and [end, numTokens).
struct TokenChoice {
  int first = 0;
  int end = 0;
  bool everything = false;            // all candidates, not listed
  std::vector<std::int32_t> starts;   // [numKvHeads + 1]
  std::vector<std::int32_t> tokens;   // ascending a KV head
  std::vector<std::int32_t> likelyStarts, likely;  // see ChosenRuns
  double pooled = 0;
  int certified = 0;  // KV heads
};

// What each KV head's pool took at the step before: values far below it need not be looked at one by one. Changes no
// choice, only what it costs.
struct PoolHint {
  std::vector<std::int32_t> keys;  // [numKvHeads], or none
};

// With an index: candidates are chosen by estimates for estimateQuery (like input.q), a pool of them by exact scores for
// input.q. Without one: by exact scores of all. Results do not depend on the number of workers. False if aborted.
bool chooseTokens(Context& context, const SelectInput& input, const float* estimateQuery, const SegmentIndex* index,
                  const SegmentRule& rule, PoolHint* hint, TokenChoice& out);

// The chosen and the always visible tokens of an input as runs, as far as they are kept; counts the call.
void writeRuns(const SelectInput& input, const TokenChoice& choice, ChosenRuns& out, SelectCounts& counts);

}  // namespace kvasir::selection
