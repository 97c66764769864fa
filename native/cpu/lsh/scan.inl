// Nearest codes, a chunk of rows at a time: all its distances from a few queries first, then what of them belongs in the lists.
#pragma once

#include "kernels.h"

namespace kvasir::lsh {
namespace {

using V = Words::V;
constexpr int kWordLanes = static_cast<int>(sizeof(V) / 8), kIntLanes = 2 * kWordLanes, kBlockVectors = kBlockRows / kWordLanes;

// Distances lie by pairs of blocks, the two rows that have the same place in their blocks side by side as halves of a word.
constexpr int kPairRows = 2 * kBlockRows;
constexpr int kChunkRows = 1024;

inline int rowAt(int place) { return place / kPairRows * kPairRows + place % 2 * kBlockRows + place % kPairRows / 2; }

// Rows of a chunk are taken in this many groups to find a limit, and so many may be offered before one is sought.
constexpr int kGroups = 64, kPatience = 32;

// Puts a row into the list: each place takes what was before it if that is larger, else the smaller of its own and the row.
inline void offer(Nearest& nearest, std::int32_t distance, int index) {
  const V offered = Words::set(static_cast<Ranked>(distance) << 32 | static_cast<std::uint32_t>(index));
  V previous = Words::zero();
  for (int at = 0; at < paddedRanks(nearest.count); at += kWordLanes) {
    const V own = Words::load(nearest.best + at);
    Words::store(nearest.best + at, Words::larger(Words::shifted(previous, own), Words::smaller(own, offered)));
    previous = own;
  }
  const auto last = static_cast<std::int32_t>(nearest.best[nearest.count - 1] >> 32);
  if (last < nearest.limit) nearest.limit = last;
}

inline int countBelow(const std::int32_t* distances, int places, std::int32_t limit) {
  const V limits = Words::setInts(limit);
  V counts = Words::zero();
  for (int at = 0; at < places; at += kIntLanes) counts = Words::countBelow(counts, Words::loadInts(distances + at), limits);
  alignas(64) std::int32_t lanes[kIntLanes];
  Words::storeInts(lanes, counts);
  int count = 0;
  for (const std::int32_t lane : lanes) count += lane;
  return count;
}

// The least limit that `count` of some distances are below, or the one given if they are not.
inline std::int32_t limitOf(const std::int32_t* distances, int places, int count, std::int32_t limit) {
  std::int32_t low = 0;
  while (limit - low > 1) {
    const std::int32_t middle = low + (limit - low) / 2;
    if (countBelow(distances, places, middle) >= count) limit = middle;
    else low = middle;
  }
  return limit;
}

// A limit such that few rows of the chunk are offered in vain: as many as the list holds are below it. The least of each group of
// rows tell nearly as much as all, as long as the list holds far fewer.
inline std::int32_t boundedLimit(const Nearest& nearest, const std::int32_t* distances, int places) {
  if (nearest.count > kGroups / 2) return limitOf(distances, places, nearest.count, nearest.limit);
  constexpr int kVectors = kGroups / kIntLanes;
  V least[kVectors];
  for (V& group : least) group = Words::setInts(kFarthest);
  for (int at = 0; at < places; at += kGroups) {
    for (int v = 0; v < kVectors; ++v) least[v] = Words::smallerInts(least[v], Words::loadInts(distances + at + v * kIntLanes));
  }
  alignas(64) std::int32_t groups[kGroups];
  for (int v = 0; v < kVectors; ++v) Words::storeInts(groups + v * kIntLanes, least[v]);
  return limitOf(groups, kGroups, nearest.count, nearest.limit);
}

// Which of the next 16 distances are below a limit.
inline unsigned belowOf(const std::int32_t* distances, V limits) {
  unsigned below = 0;
  for (int i = 0; i < kPairRows; i += kIntLanes) below |= Words::belowInts(Words::loadInts(distances + i), limits) << i;
  return below;
}

inline void choose(Nearest& nearest, const std::int32_t* distances, int rows, int firstRow) {
  const int whole = rows / kGroups * kGroups;
  // An empty list would take many rows that do not stay, and so would any where rows come ever nearer.
  bool bounded = nearest.count > 1 && nearest.best[0] == kNone;
  if (bounded) nearest.limit = boundedLimit(nearest, distances, whole);
  V limits = Words::setInts(nearest.limit);
  int offered = 0;
  for (int at = 0;; at += kPairRows) {
    while (at < rows && belowOf(distances + at, limits) == 0) at += kPairRows;
    if (at >= rows) return;
    unsigned below = belowOf(distances + at, limits);
    // Of rows that are as far as the last one taken, one that comes later here may have the lower index.
    for (; below != 0; below &= below - 1, ++offered) {
      const int place = at + __builtin_ctz(below), row = rowAt(place);
      if (row < rows && distances[place] <= nearest.limit) offer(nearest, distances[place], firstRow + row);
    }
    if (offered > kPatience && !bounded) {
      nearest.limit = boundedLimit(nearest, distances, whole);
      bounded = true;
    }
    limits = Words::setInts(nearest.limit);
  }
}

template <int kQueries, int kWords>
struct Asked {
  // Queries of few words stay in registers, where there are enough.
  V fixed[kQueries][kWords > 0 ? kWords : 1];
  const std::uint64_t* words[kQueries];

  explicit Asked(const ScanTask& task) {
    for (int q = 0; q < kQueries; ++q) {
      words[q] = task.queries[q];
      for (int w = 0; w < kWords; ++w) fixed[q][w] = Words::set(words[q][w]);
    }
  }
};

// Distances of the 8 rows of a block. Counts of bits are kept in bytes as long as they fit: 31 words.
template <class Distance, int kQueries, int kWords>
inline void measureBlock(const Asked<kQueries, kWords>& asked, const std::uint64_t* block, int numWords,
                         V (&sums)[kQueries][kBlockVectors]) {
  constexpr int kBatch = 31;
  const int words = kWords > 0 ? kWords : numWords;
  for (int q = 0; q < kQueries; ++q) {
    for (int v = 0; v < kBlockVectors; ++v) sums[q][v] = Words::zero();
  }
  for (int first = 0; first < words; first += kBatch) {
    const int end = first + kBatch < words ? first + kBatch : words;
    V parts[kQueries][kBlockVectors];
    for (int q = 0; q < kQueries; ++q) {
      for (int v = 0; v < kBlockVectors; ++v) parts[q][v] = Words::zero();
    }
    for (int w = first; w < end; ++w) {
      V codes[kBlockVectors];
      for (int v = 0; v < kBlockVectors; ++v) codes[v] = Words::load(block + w * kBlockRows + v * kWordLanes);
      for (int q = 0; q < kQueries; ++q) {
        const V query = kWords > 0 ? asked.fixed[q][w] : Words::set(asked.words[q][w]);
        for (int v = 0; v < kBlockVectors; ++v) parts[q][v] = Distance::add(parts[q][v], codes[v], query);
      }
    }
    for (int q = 0; q < kQueries; ++q) {
      for (int v = 0; v < kBlockVectors; ++v) sums[q][v] = Words::addWords(sums[q][v], Distance::total(parts[q][v]));
    }
  }
}

// Distances of the rows of some blocks. A last block without a second one leaves places that no row has.
template <class Distance, int kQueries, int kWords>
inline void measure(const Asked<kQueries, kWords>& asked, const CodeTable& table, int firstBlock, int endBlock,
                   std::int32_t (&distances)[kQueries][kChunkRows]) {
  const std::uint64_t* block = table.blocks + blockWordsOf(firstBlock * kBlockRows, table.words);
  const int step = table.words * kBlockRows;
  V sums[kQueries][kBlockVectors];
  for (int b = firstBlock, at = 0; b < endBlock; b += 2, block += 2 * step, at += kPairRows) {
    measureBlock<Distance>(asked, block, table.words, sums);
    for (int q = 0; q < kQueries; ++q) {
      for (int v = 0; v < kBlockVectors; ++v) Words::storeInts(distances[q] + at + v * kIntLanes, sums[q][v]);
    }
    if (b + 1 == endBlock) return;
    measureBlock<Distance>(asked, block + step, table.words, sums);
    for (int q = 0; q < kQueries; ++q) {
      for (int v = 0; v < kBlockVectors; ++v) {
        std::int32_t* pair = distances[q] + at + v * kIntLanes;
        Words::storeInts(pair, Words::addWords(Words::loadInts(pair), Words::upper(sums[q][v])));
      }
    }
  }
}

template <class Distance, int kQueries, int kWords>
inline void scanChunks(const ScanTask& task) {
  const Asked<kQueries, kWords> asked(task);
  alignas(64) std::int32_t distances[kQueries][kChunkRows];
  constexpr int kBlocks = kChunkRows / kBlockRows;
  for (int first = task.firstBlock; first < task.endBlock; first += kBlocks) {
    const int end = first + kBlocks < task.endBlock ? first + kBlocks : task.endBlock;
    measure<Distance>(asked, task.table, first, end, distances);
    const int endRow = end * kBlockRows < task.table.rows ? end * kBlockRows : task.table.rows, firstRow = first * kBlockRows;
    for (int q = 0; q < kQueries; ++q) choose(*task.nearest[q], distances[q], endRow - firstRow, firstRow);
  }
}

template <class Distance, int kQueries>
void scanWords(const ScanTask& task) {
  switch (task.table.words) {
    case 1: return scanChunks<Distance, kQueries, 1>(task);
    case 2: return scanChunks<Distance, kQueries, 2>(task);
    case 4: return scanChunks<Distance, kQueries, 4>(task);
    case 8: return scanChunks<Distance, kQueries, 8>(task);
    default: return scanChunks<Distance, kQueries, 0>(task);
  }
}

template <class Distance>
void scanQueries(ScanTask task) {
  if (task.numQueries == kScanQueries) return scanWords<Distance, kScanQueries>(task);
  for (int q = 0; q < task.numQueries; ++q) {
    task.queries[0] = task.queries[q];
    task.nearest[0] = task.nearest[q];
    scanWords<Distance, 1>(task);
  }
}

void scan(const ScanTask& task) {
  if (task.table.distance == CodeDistance::hamming) scanQueries<Words::Hamming>(task);
  else scanQueries<Words::L1>(task);
}

}  // namespace
}  // namespace kvasir::lsh
