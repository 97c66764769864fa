// Which values a budget keeps.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels.h"

namespace kvasir::selection {

// Rows of values >= 0, one a KV head. Entry i of a row belongs to token tokens[row * stride + i], or i if tokens is
// null; tokens of a row ascend.
struct ValueRows {
  const float* values;         // [numRows][stride]
  const std::int32_t* tokens;  // [numRows][stride] or null
  std::size_t stride;
  const std::int32_t* counts;  // [numRows]
  int numRows;
};

// cuts [numRows]: what each row keeps of `perRow` tokens a row on average. Not joint: its best perRow. Joint: its best
// perRow / 4 (rounded down), and the rest of numRows * perRow goes to the best remaining of any row. Equal values:
// the lower token, then the lower row. histograms [numRows][kBuckets] as Kernels::histogram counts them; positions:
// work of the longest row's size.
void cutRows(const Kernels& kernels, const ValueRows& rows, const std::uint32_t* histograms, int perRow, bool joint,
             std::int32_t* positions, Cut* cuts);

// Tokens that a row keeps, ascending; returns how many. `out` has room for the row.
int keptTokens(const Kernels& kernels, const ValueRows& rows, int row, const Cut& cut, std::int32_t* out);

}  // namespace kvasir::selection
