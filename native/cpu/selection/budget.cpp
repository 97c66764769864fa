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

template <class Count>
Edge findEdge(std::int64_t wanted, const Count* counts) {
  int bucket = kBuckets - 1;
  for (; bucket > 0 && counts[bucket] < wanted; --bucket) wanted -= counts[bucket];
  return {bucket, wanted};
}

std::int32_t lowestKeyOf(int bucket) { return bucket == 0 ? kLowestKey : (bucket + kFirstBucket) << kBucketShift; }
std::int32_t highestKeyOf(int bucket) {
  return bucket == kBuckets - 1 ? kHighestKey : ((bucket + 1 + kFirstBucket) << kBucketShift) - 1;
}

std::int32_t tokenAt(const ValueRows& rows, int row, std::int32_t position) {
  return rows.tokens ? rows.tokens[static_cast<std::size_t>(row) * rows.stride + static_cast<std::size_t>(position)]
                     : position;
}

void gather(const Kernels& kernels, const ValueRows& rows, int row, int bucket, const Cut& kept,
            std::int32_t* positions, std::vector<Entry>& out) {
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

// Cuts each row to its best perRow values, and says in which buckets.
std::vector<Edge> cutAlone(const Kernels& kernels, const ValueRows& rows, const std::uint32_t* histograms, int perRow,
                           std::int32_t* positions, Cut* cuts) {
  std::vector<Edge> edges(static_cast<std::size_t>(rows.numRows), Edge{kBuckets, 0});
  std::vector<Entry> entries;
  for (int row = 0; row < rows.numRows; ++row) {
    cuts[row] = kNone;
    const int own = std::min(perRow, rows.counts[row]);
    if (own == 0) continue;
    const std::uint32_t* counts = histograms + static_cast<std::size_t>(row) * kBuckets;
    const Edge edge = edges[static_cast<std::size_t>(row)] = findEdge<std::uint32_t>(own, counts);
    entries.clear();
    gather(kernels, rows, row, edge.bucket, kNone, positions, entries);
    const Entry last = lastWanted(entries, edge.wanted);
    cuts[row] = {last.key, last.token};
  }
  return edges;
}

}  // namespace

void cutRows(const Kernels& kernels, const ValueRows& rows, const std::uint32_t* histograms, int perRow, bool joint,
             std::int32_t* positions, Cut* cuts) {
  if (!joint) {
    cutAlone(kernels, rows, histograms, perRow, positions, cuts);
    return;
  }
  const int quarter = perRow / 4;
  std::int64_t available = 0;
  std::vector<std::uint32_t> counts(kBuckets);
  for (int row = 0; row < rows.numRows; ++row) {
    available += rows.counts[row];
    const std::uint32_t* own = histograms + static_cast<std::size_t>(row) * kBuckets;
    for (int bucket = 0; bucket < kBuckets; ++bucket) counts[static_cast<std::size_t>(bucket)] += own[bucket];
  }
  std::int64_t wanted = std::min(static_cast<std::int64_t>(perRow) * rows.numRows, available);
  std::fill_n(cuts, rows.numRows, kNone);
  if (wanted == 0) return;
  Edge edge = findEdge(wanted, counts.data());

  // Where the best of all rows hold every row's quarter, quarters change nothing, and finding them can be left out.
  bool quartersInside = true;
  for (int row = 0; row < rows.numRows; ++row) {
    const std::uint32_t* own = histograms + static_cast<std::size_t>(row) * kBuckets;
    std::uint32_t above = 0;
    for (int bucket = edge.bucket + 1; bucket < kBuckets; ++bucket) above += own[bucket];
    quartersInside = quartersInside && static_cast<std::int64_t>(above) >= std::min(quarter, rows.counts[row]);
  }
  if (!quartersInside) {
    const std::vector<Edge> edges = cutAlone(kernels, rows, histograms, quarter, positions, cuts);
    for (int row = 0; row < rows.numRows; ++row) {
      const std::uint32_t* own = histograms + static_cast<std::size_t>(row) * kBuckets;
      const Edge& kept = edges[static_cast<std::size_t>(row)];
      for (int bucket = kept.bucket + 1; bucket < kBuckets; ++bucket)
        counts[static_cast<std::size_t>(bucket)] -= own[bucket];
      if (kept.bucket < kBuckets)
        counts[static_cast<std::size_t>(kept.bucket)] -= static_cast<std::uint32_t>(kept.wanted);
      wanted -= std::min(quarter, rows.counts[row]);
    }
    if (wanted == 0) return;
    edge = findEdge(wanted, counts.data());
  }
  std::vector<Entry> entries;
  for (int row = 0; row < rows.numRows; ++row) gather(kernels, rows, row, edge.bucket, cuts[row], positions, entries);
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
