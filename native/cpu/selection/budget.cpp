#include "budget.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

namespace kvasir::selection {
namespace {

constexpr std::int32_t kHighestKey = std::numeric_limits<std::int32_t>::max();
constexpr Cut kNone = {kHighestKey, -1};
// So few values between two keys are sorted in place of being counted again.
constexpr std::int64_t kFewValues = 64;

struct Entry {
  std::int32_t key;
  std::int32_t token;
  std::int32_t row;
};

bool before(const Entry& a, const Entry& b) {
  if (a.key != b.key) return a.key > b.key;
  if (a.token != b.token) return a.token < b.token;
  return a.row < b.row;
}

bool keeps(const Cut& cut, std::int32_t key, std::int32_t token) {
  return key > cut.key || (key == cut.key && token <= cut.token);
}

std::int32_t tokenAt(const ValueRows& rows, int row, std::int32_t position) {
  return rows.tokens[row] ? rows.tokens[row][position] : position;
}

const float* valuesOf(const ValueRows& rows, int row) {
  return rows.values + static_cast<std::size_t>(row) * rows.stride;
}

// A stretch of keys in which the wanted-th best value lies, and how many values of each row lie at and above both ends.
struct Edge {
  std::int32_t low, high;  // keys in [low, high)
  std::vector<std::int32_t> fromLow, fromHigh;
};

// Counts what is taken at and above a key: of each row the values there, at least its share.
std::int64_t taken(const std::vector<std::int32_t>& counts, const std::vector<std::int32_t>& shares) {
  std::int64_t sum = 0;
  for (std::size_t row = 0; row < counts.size(); ++row) sum += std::max(counts[row], shares[row]);
  return sum;
}

// Narrows the edge of the rows [first, first + shares.size()), sum of shares < wanted <= all values: every pass counts
// the values above kProbes keys between its ends.
Edge findEdge(const Kernels& kernels, const ValueRows& rows, int first, const std::vector<std::int32_t>& shares,
              std::int64_t wanted, const std::vector<std::int32_t>& all) {
  const std::size_t numRows = shares.size();
  Edge edge = {0, kHighestKey, all, std::vector<std::int32_t>(numRows)};
  std::int64_t above = taken(edge.fromHigh, shares), below = taken(all, shares);
  std::vector<std::int32_t> counts(numRows * kProbes), at(numRows);
  // 2^-24, 2^-18, 2^-14, 2^-9: probabilities of single tokens spread around these.
  std::int32_t probes[kProbes] = {103 << 23, 109 << 23, 113 << 23, 118 << 23};
  while (edge.high - edge.low > 1 && below - above > kFewValues) {
    for (std::size_t row = 0; row < numRows; ++row) {
      const int r = first + static_cast<int>(row);
      kernels.countKeys(valuesOf(rows, r), rows.counts[r], probes, counts.data() + row * kProbes);
    }
    for (int p = 0; p < kProbes; ++p) {
      if (probes[p] <= edge.low) continue;
      for (std::size_t row = 0; row < numRows; ++row) at[row] = counts[row * kProbes + static_cast<std::size_t>(p)];
      const std::int64_t here = taken(at, shares);
      if (here >= wanted) {
        edge.low = probes[p];
        edge.fromLow = at;
        below = here;
      } else {
        edge.high = probes[p];
        edge.fromHigh = at;
        above = here;
        break;
      }
    }
    const std::int64_t span = static_cast<std::int64_t>(edge.high) - edge.low;
    for (int p = 0; p < kProbes; ++p) {
      probes[p] = edge.low + static_cast<std::int32_t>(span * (p + 1) / (kProbes + 1));
    }
  }
  return edge;
}

void gather(const Kernels& kernels, const ValueRows& rows, int row, const Edge& edge, const Cut& kept,
            std::int32_t* positions, std::vector<Entry>& out) {
  const float* values = valuesOf(rows, row);
  const int found = kernels.findKeys(values, rows.counts[row], edge.low, edge.high - 1, positions);
  for (int i = 0; i < found; ++i) {
    std::int32_t key;
    std::memcpy(&key, values + positions[i], 4);
    const std::int32_t token = tokenAt(rows, row, positions[i]);
    if (!keeps(kept, key, token)) out.push_back({key, token, row});
  }
}

// The wanted-th entry in order, wanted >= 1.
Entry lastWanted(std::vector<Entry>& entries, std::int64_t wanted) {
  const auto last = entries.begin() + static_cast<std::ptrdiff_t>(wanted - 1);
  std::nth_element(entries.begin(), last, entries.end(), before);
  return *last;
}

// Cuts one row, of which `count` values are candidates, to its best `wanted`.
Cut cutAlone(const Kernels& kernels, const ValueRows& rows, int row, std::int32_t count, std::int32_t wanted,
             std::int32_t* positions) {
  if (wanted <= 0) return kNone;
  const Edge edge = findEdge(kernels, rows, row, {0}, wanted, {count});
  std::vector<Entry> entries;
  gather(kernels, rows, row, edge, kNone, positions, entries);
  const Entry last = lastWanted(entries, wanted - edge.fromHigh[0]);
  return {last.key, last.token};
}

}  // namespace

void cutRows(const Kernels& kernels, const ValueRows& rows, const int* wanted, bool joint, std::int32_t* positions,
             Cut* cuts) {
  std::vector<std::int32_t> all, shares;
  for (int row = 0; row < rows.numRows; ++row) {
    all.push_back(rows.candidates[row]);
    shares.push_back(std::min(joint ? wanted[row] / 4 : wanted[row], all.back()));
  }
  const auto total = [](const std::vector<std::int32_t>& counts) {
    return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  };
  const std::int64_t sum = joint ? std::min(std::accumulate(wanted, wanted + rows.numRows, std::int64_t{0}), total(all))
                                 : total(shares);
  const bool common = sum > total(shares);
  Edge edge;
  if (common) edge = findEdge(kernels, rows, 0, shares, sum, all);
  for (int row = 0; row < rows.numRows; ++row) {
    const std::size_t r = static_cast<std::size_t>(row);
    // Where the best of all rows hold a row's share, it changes nothing.
    cuts[row] = common && edge.fromHigh[r] >= shares[r] ? kNone
                                                        : cutAlone(kernels, rows, row, all[r], shares[r], positions);
  }
  if (!common) return;
  std::vector<Entry> entries;
  for (int row = 0; row < rows.numRows; ++row) gather(kernels, rows, row, edge, cuts[row], positions, entries);
  const Entry last = lastWanted(entries, sum - taken(edge.fromHigh, shares));
  for (int row = 0; row < rows.numRows; ++row) {
    const Cut cut = {last.key, row <= last.row ? last.token : last.token - 1};
    if (!keeps(cuts[row], cut.key, cut.token)) cuts[row] = cut;
  }
}

int keptTokens(const Kernels& kernels, const ValueRows& rows, int row, const Cut& cut, std::int32_t* positions,
               std::int32_t* out) {
  const float* values = valuesOf(rows, row);
  const int found = kernels.findKeys(values, rows.counts[row], cut.key, kHighestKey, positions);
  int kept = 0;
  for (int i = 0; i < found; ++i) {
    std::int32_t key;
    std::memcpy(&key, values + positions[i], 4);
    const std::int32_t token = tokenAt(rows, row, positions[i]);
    if (keeps(cut, key, token)) out[kept++] = token;
  }
  return kept;
}

}  // namespace kvasir::selection
