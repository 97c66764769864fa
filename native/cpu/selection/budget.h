// Which values a budget keeps.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels.h"

namespace kvasir::selection {

// Rows of values, one a KV head; negative values are no candidates. Entry i of a row belongs to token tokens[row][i], or
// i if that is null; tokens of a row ascend.
struct ValueRows {
  const float* values;  // [numRows][stride]
  std::size_t stride;
  const std::int32_t* const* tokens;  // [numRows]
  const std::int32_t* counts;         // [numRows]
  const std::int32_t* candidates;     // [numRows] how many of the counts are not negative
  int numRows;
};

// cuts [numRows]: what each row keeps. Not joint: its best wanted[row]. Joint: its best wanted[row] / 4 (rounded down),
// and the rest of the sum of `wanted` goes to the best remaining of any row. Equal values: the lower token, then the
// lower row. positions: work of the longest row's size.
void cutRows(const Kernels& kernels, const ValueRows& rows, const int* wanted, bool joint, std::int32_t* positions,
             Cut* cuts);

// Tokens that a row keeps, ascending; returns how many. positions and `out` have room for the row; `out` may be either
// positions or, where the row has them, its tokens.
int keptTokens(const Kernels& kernels, const ValueRows& rows, int row, const Cut& cut, std::int32_t* positions,
               std::int32_t* out);

}  // namespace kvasir::selection
