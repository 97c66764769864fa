#include "budget.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

namespace kvasir::selection {
namespace {

constexpr std::int32_t kLowestKey = std::numeric_limits<std::int32_t>::min();
constexpr std::int32_t kHighestKey = std::numeric_limits<std::int32_t>::max();
constexpr Cut kNone = {kHighestKey, -1};

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

// The bucket in which the wanted-th best value lies, and how many values are wanted of it.
struct Edge {
  int bucket;
  std::int64_t wanted;
};

template <class CountOf>
Edge findEdge(std::int64_t wanted, CountOf countOf) {
  int bucket = kBuckets - 1;
  for (; bucket > 0; --bucket) {
    const std::int64_t count = countOf(bucket);
    if (count >= wanted) break;
    wanted -= count;
  }
  return {bucket, wanted};
}

std::int32_t lowestKeyOf(int bucket) { return bucket == 0 ? kLowestKey : (bucket + kFirstBucket) << kBucketShift; }
std::int32_t highestKeyOf(int bucket) {
  return bucket == kBuckets - 1 ? kHighestKey : ((bucket + 1 + kFirstBucket) << kBucketShift) - 1;
}

std::int32_t tokenAt(const ValueRows& rows, int row, std::int32_t position) {
  return rows.tokens ? rows.tokens[static_cast<std::size_t>(row) * rows.stride + static_cast<std::size_t>(position)] : position;
}

void gather(const Kernels& kernels, const ValueRows& rows, int row, int bucket, const Cut& kept, std::int32_t* positions,
            std::vector<Entry>& out) {
  const float* values = rows.values + static_cast<std::size_t>(row) * rows.stride;
  const int found = kernels.findKeys(values, rows.counts[row], lowestKeyOf(bucket), highestKeyOf(bucket), positions);
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

}  // namespace

void cutRows(const Kernels& kernels, const ValueRows& rows, const std::uint32_t* histograms, int perRow, bool joint,
             std::int32_t* positions, Cut* cuts) {
  std::vector<Entry> entries;
  std::vector<Edge> edges(static_cast<std::size_t>(rows.numRows));
  std::int64_t kept = 0, available = 0;
  for (int row = 0; row < rows.numRows; ++row) {
    const std::uint32_t* counts = histograms + static_cast<std::size_t>(row) * kBuckets;
    const int own = std::min(joint ? perRow / 4 : perRow, rows.counts[row]);
    Edge& edge = edges[static_cast<std::size_t>(row)];
    cuts[row] = kNone;
    edge = {kBuckets, 0};
    if (own > 0) {
      edge = findEdge(own, [&](int bucket) { return static_cast<std::int64_t>(counts[bucket]); });
      entries.clear();
      gather(kernels, rows, row, edge.bucket, kNone, positions, entries);
      const Entry last = lastWanted(entries, edge.wanted);
      cuts[row] = {last.key, last.token};
    }
    kept += own;
    available += rows.counts[row];
  }
  const std::int64_t rest = std::min(static_cast<std::int64_t>(perRow) * rows.numRows, available) - kept;
  if (!joint || rest <= 0) return;

  const Edge edge = findEdge(rest, [&](int bucket) {
    std::int64_t left = 0;
    for (int row = 0; row < rows.numRows; ++row) {
      const Edge& own = edges[static_cast<std::size_t>(row)];
      if (bucket > own.bucket) continue;
      left += histograms[static_cast<std::size_t>(row) * kBuckets + static_cast<std::size_t>(bucket)];
      if (bucket == own.bucket) left -= own.wanted;
    }
    return left;
  });
  entries.clear();
  for (int row = 0; row < rows.numRows; ++row) {
    if (edge.bucket <= edges[static_cast<std::size_t>(row)].bucket) gather(kernels, rows, row, edge.bucket, cuts[row], positions, entries);
  }
  const Entry last = lastWanted(entries, edge.wanted);
  for (int row = 0; row < rows.numRows; ++row) {
    const Cut common = {last.key, row <= last.row ? last.token : last.token - 1};
    if (!keeps(cuts[row], common.key, common.token)) cuts[row] = common;
  }
}

int keptTokens(const Kernels& kernels, const ValueRows& rows, int row, const Cut& cut, std::int32_t* out) {
  const float* values = rows.values + static_cast<std::size_t>(row) * rows.stride;
  const int found = kernels.findKeys(values, rows.counts[row], cut.key, kHighestKey, out);
  int kept = 0;
  for (int i = 0; i < found; ++i) {
    std::int32_t key;
    std::memcpy(&key, values + out[i], 4);
    const std::int32_t token = tokenAt(rows, row, out[i]);
    if (keeps(cut, key, token)) out[kept++] = token;
  }
  return kept;
}

}  // namespace kvasir::selection
