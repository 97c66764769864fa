// Packing, and how the work is cut into tasks: by rows, queries and slices of a table, never by the number of threads.
#include "kvasir/lsh.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels.h"

namespace kvasir {
namespace {

using lsh::kBlockRows;
using lsh::kNone;
using lsh::kPanelHashes;
using lsh::kScanQueries;
using lsh::Nearest;
using lsh::Ranked;

// Rows of a task of hashing, and multiplications after which it should look at the abort flag.
constexpr int kHashTaskRows = 224;
constexpr std::size_t kHashTaskProducts = std::size_t{1} << 26;
constexpr int kRankTaskQueries = 64;
// Queries that share a pass over the blocks below, which then stay in the cache near the core.
constexpr int kScanTaskQueries = 64;
constexpr int kScanTaskRows = 1 << 16;
constexpr std::size_t kCachedBytes = 256 * 1024;

int pieces(int items, int size) { return (items + size - 1) / size; }

struct Search {
  const CodeTable& table;
  const std::uint64_t* queries;
  int numQueries;
  int count;
  std::int32_t limit;
};

std::int32_t farthest(const CodeTable& table) { return table.words * 8 * (table.distance == CodeDistance::hamming ? 8 : 255); }

// The nearest rows of one slice of the table for some queries: best [queries][count].
void searchSlice(Context& context, int worker, const Search& search, int firstQuery, int endQuery, int firstBlock,
                 int endBlock, Ranked* best) {
  const auto scan = lsh::kernelsFor(context.isa()).scan;
  const int words = search.table.words;
  const int cached = std::max(1, static_cast<int>(kCachedBytes / (static_cast<std::size_t>(words) * kBlockRows * 8)));
  Nearest nearest[kScanTaskQueries];
  const std::size_t ranks = static_cast<std::size_t>(lsh::paddedRanks(search.count));
  auto* lists = reinterpret_cast<Ranked*>(context.scratch(worker, kScanTaskQueries * ranks * sizeof(Ranked)));
  for (int i = 0; i < endQuery - firstQuery; ++i) {
    Ranked* list = lists + static_cast<std::size_t>(i) * ranks;
    std::fill_n(list, ranks, kNone);
    nearest[i] = {list, search.count, search.limit};
  }
  for (int block = firstBlock; block < endBlock; block += cached) {
    for (int q = firstQuery; q < endQuery; q += kScanQueries) {
      if (context.cancelled()) return;
      lsh::ScanTask task = {search.table, block, std::min(block + cached, endBlock), {}, {}, std::min(kScanQueries, endQuery - q)};
      for (int i = 0; i < task.numQueries; ++i) {
        task.queries[i] = search.queries + static_cast<std::size_t>(q + i) * words;
        task.nearest[i] = &nearest[q + i - firstQuery];
      }
      scan(task);
    }
  }
  for (int i = 0; i < endQuery - firstQuery; ++i)
    std::copy_n(nearest[i].best, search.count, best + static_cast<std::size_t>(i) * search.count);
}

// The best of all slices for one query, which gather in the first.
void mergeSlices(Ranked* best, int slices, std::size_t sliceStride, int count) {
  Ranked merged[2 * kMaxNearest];
  for (int slice = 1; slice < slices; ++slice) {
    const Ranked* other = best + static_cast<std::size_t>(slice) * sliceStride;
    std::merge(best, best + count, other, other + count, merged);
    std::copy_n(merged, count, best);
  }
}

}  // namespace

void packPlanes(const float* planes, int numHashes, int dim, float* panels) {
  for (int h = 0; h < numHashes; ++h) {
    float* panel = panels + static_cast<std::size_t>(h / kPanelHashes) * dim * kPanelHashes + h % kPanelHashes;
    for (int i = 0; i < dim; ++i) panel[static_cast<std::size_t>(i) * kPanelHashes] = planes[static_cast<std::size_t>(h) * dim + i];
  }
}

void hashRows(Context& context, const HashPlanes& planes, HashKind kind, const float* x, int rows, void* out) {
  const auto hash = lsh::kernelsFor(context.isa()).hash;
  const std::size_t rowBytes = rowBytesOf(kind, planes.numHashes);
  const std::size_t rowProducts = static_cast<std::size_t>(planes.numHashes) * planes.dim;
  const int taskRows = std::min(kHashTaskRows, static_cast<int>(kHashTaskProducts / rowProducts) + 1);
  context.forEach(pieces(rows, taskRows), [&](int task, int) {
    if (context.cancelled()) return;
    const int first = task * taskRows, count = std::min(taskRows, rows - first);
    hash(planes, kind, x + static_cast<std::size_t>(first) * planes.dim, count,
         static_cast<std::uint8_t*>(out) + static_cast<std::size_t>(first) * rowBytes);
  });
}

void packCodes(const std::uint8_t* codes, int rows, int words, std::uint64_t* blocks) {
  std::fill_n(blocks, blockWordsOf(rows, words), std::uint64_t{0});
  for (int row = 0; row < rows; ++row) {
    std::uint64_t* block = blocks + blockWordsOf(row / kBlockRows * kBlockRows, words) + row % kBlockRows;
    for (int w = 0; w < words; ++w, codes += 8) std::memcpy(block + static_cast<std::size_t>(w) * kBlockRows, codes, 8);
  }
}

void nearestCodes(Context& context, const CodeTable& table, const std::uint8_t* queries, int numQueries, int count,
                  int maxDistance, std::int32_t* indices, std::int32_t* distances) {
  if (numQueries == 0 || count == 0) return;
  const std::size_t queryWords = static_cast<std::size_t>(numQueries) * table.words;
  const int slices = std::max(1, pieces(table.rows, kScanTaskRows)), groups = pieces(numQueries, kScanTaskQueries);
  const std::size_t sliceStride = static_cast<std::size_t>(numQueries) * count;
  auto* aligned = reinterpret_cast<std::uint64_t*>(context.shared((queryWords + slices * sliceStride) * sizeof(std::uint64_t)));
  std::memcpy(aligned, queries, queryWords * 8);
  Ranked* best = aligned + queryWords;
  const Search search = {table, aligned, numQueries, count, std::min(maxDistance, farthest(table)) + 1};
  context.forEach(slices * groups, [&](int task, int worker) {
    const int slice = task / groups, firstQuery = task % groups * kScanTaskQueries;
    const int firstBlock = slice * (kScanTaskRows / kBlockRows);
    searchSlice(context, worker, search, firstQuery, std::min(firstQuery + kScanTaskQueries, numQueries), firstBlock,
                std::min(firstBlock + kScanTaskRows / kBlockRows, pieces(table.rows, kBlockRows)),
                best + slice * sliceStride + static_cast<std::size_t>(firstQuery) * count);
  });
  context.forEach(groups, [&](int task, int) {
    const int end = std::min((task + 1) * kScanTaskQueries, numQueries);
    for (int q = task * kScanTaskQueries; q < end; ++q) {
      Ranked* ranked = best + static_cast<std::size_t>(q) * count;
      mergeSlices(ranked, slices, sliceStride, count);
      for (int i = 0; i < count; ++i) {
        const bool found = ranked[i] != kNone;
        indices[static_cast<std::size_t>(q) * count + i] = found ? static_cast<std::int32_t>(ranked[i] & 0xffffffffu) : -1;
        distances[static_cast<std::size_t>(q) * count + i] = found ? static_cast<std::int32_t>(ranked[i] >> 32) : -1;
      }
    }
  });
}

void rankRows(Context& context, const RankInput& input, std::int32_t* indices, float* values) {
  const lsh::Kernels& kernels = lsh::kernelsFor(context.isa());
  const std::size_t dim = static_cast<std::size_t>(input.dim);
  const bool cosine = input.metric == RowMetric::cosine;
  const auto valueOf = [&](const float* query, double length, const float* row) {
    if (!cosine) return static_cast<float>(kernels.squaredDistance(query, row, input.dim));
    const lsh::Products sums = kernels.products(query, row, input.dim);
    const double lengths = std::sqrt(length * sums.square);
    return lengths == 0.0 ? 0.0f : static_cast<float>(sums.dot / lengths);
  };
  context.forEach(pieces(input.numQueries, kRankTaskQueries), [&](int task, int) {
    const int end = std::min((task + 1) * kRankTaskQueries, input.numQueries);
    for (int q = task * kRankTaskQueries; q < end && !context.cancelled(); ++q) {
      const float* query = input.queries + static_cast<std::size_t>(q) * dim;
      const double length = cosine ? kernels.products(query, query, input.dim).square : 0.0;
      indices[q] = -1;
      values[q] = NAN;
      for (int i = 0; i < input.count; ++i) {
        const std::int32_t index = input.candidates[static_cast<std::size_t>(q) * input.count + i];
        if (index < 0) continue;
        const float value = valueOf(query, length, input.rows + static_cast<std::size_t>(index) * dim);
        if (!(cosine ? value >= input.threshold : value <= input.threshold)) continue;
        const bool nearer = cosine ? value > values[q] : value < values[q];
        if (indices[q] >= 0 && !nearer && !(value == values[q] && index < indices[q])) continue;
        indices[q] = index;
        values[q] = value;
      }
    }
  });
}

}  // namespace kvasir
