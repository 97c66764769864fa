// The choice of a budget by sorting, as chooseBudget of the reference makes it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace kvasir::gpu::test {

struct Candidate {
  int row;
  std::int32_t token;
  float value;
};

inline bool before(const Candidate& a, const Candidate& b) {
  if (a.value != b.value) return a.value > b.value;
  return a.token != b.token ? a.token < b.token : a.row < b.row;
}

// Tokens that each row keeps, ascending.
inline std::vector<std::vector<std::int32_t>> chooseBudget(const std::vector<std::vector<Candidate>>& rows, const std::vector<int>& wanted, bool joint) {
  std::vector<Candidate> taken, rest;
  int all = 0;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    std::vector<Candidate> ranked = rows[row];
    std::sort(ranked.begin(), ranked.end(), before);
    const std::size_t share = std::min(ranked.size(), static_cast<std::size_t>(joint ? wanted[row] / 4 : wanted[row]));
    taken.insert(taken.end(), ranked.begin(), ranked.begin() + static_cast<std::ptrdiff_t>(share));
    rest.insert(rest.end(), ranked.begin() + static_cast<std::ptrdiff_t>(share), ranked.end());
    all += wanted[row];
  }
  std::sort(rest.begin(), rest.end(), before);
  for (std::size_t i = 0; joint && i < rest.size() && static_cast<int>(taken.size()) < all; ++i) taken.push_back(rest[i]);
  std::vector<std::vector<std::int32_t>> kept(rows.size());
  for (const Candidate& candidate : taken) kept[static_cast<std::size_t>(candidate.row)].push_back(candidate.token);
  for (std::vector<std::int32_t>& row : kept) std::sort(row.begin(), row.end());
  return kept;
}

}  // namespace kvasir::gpu::test
