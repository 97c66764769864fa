// The table of one instruction set; its leaf has included the right `Vec` and `Words` before.
#pragma once

#include <cmath>
#include <cstring>

#include "kernels.h"

namespace kvasir::lsh {
namespace {

constexpr int kTileWidth = Words::kHashVecs * Vec::kLanes;

// Products of kRows rows with the hashes of a part of a panel, in registers; then what their kind makes of them.
template <int kRows>
inline void hashTile(const HashPlanes& planes, HashKind kind, const float* x, int firstHash, std::uint8_t* out,
                     std::size_t rowBytes) {
  constexpr int kVecs = Words::kHashVecs;
  const std::size_t dim = static_cast<std::size_t>(planes.dim);
  const float* panel = planes.panels + static_cast<std::size_t>(firstHash / kPanelHashes) * dim * kPanelHashes + firstHash % kPanelHashes;
  Vec::F sums[kRows][kVecs];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVecs; ++v) sums[r][v] = Vec::zero();
  }
  for (std::size_t i = 0; i < dim; ++i, panel += kPanelHashes) {
    Vec::F plane[kVecs];
    for (int v = 0; v < kVecs; ++v) plane[v] = Vec::load(panel + v * Vec::kLanes);
    for (int r = 0; r < kRows; ++r) {
      const Vec::F value = Vec::set(x[static_cast<std::size_t>(r) * dim + i]);
      for (int v = 0; v < kVecs; ++v) sums[r][v] = Vec::fma(value, plane[v], sums[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r, out += rowBytes) {
    if (kind == HashKind::signs) {
      std::uint32_t bits = 0;
      for (int v = 0; v < kVecs; ++v) bits |= Words::notNegative(sums[r][v]) << (v * Vec::kLanes);
      std::memcpy(out + firstHash / 8, &bits, kTileWidth / 8);
      continue;
    }
    float products[kTileWidth];
    for (int v = 0; v < kVecs; ++v) Vec::store(products + v * Vec::kLanes, sums[r][v]);
    if (kind == HashKind::products) {
      std::memcpy(out + static_cast<std::size_t>(firstHash) * sizeof(float), products, sizeof products);
      continue;
    }
    for (int h = 0; h < kTileWidth; ++h) {
      const float cell = 128.0f + std::floor((products[h] + planes.offsets[firstHash + h]) / planes.width);
      out[firstHash + h] = static_cast<std::uint8_t>(cell >= 0.0f ? cell <= 255.0f ? cell : 255.0f : 0.0f);
    }
  }
}

// Some tiles of rows for each part of a panel: both stay near.
void hash(const HashPlanes& planes, HashKind kind, const float* x, int rows, void* out) {
  constexpr int kTiles = 4;
  const std::size_t rowBytes = rowBytesOf(kind, planes.numHashes), dim = static_cast<std::size_t>(planes.dim);
  auto* codes = static_cast<std::uint8_t*>(out);
  for (int first = 0; first < rows; first += kTiles * Words::kHashRows) {
    const int end = first + kTiles * Words::kHashRows < rows ? first + kTiles * Words::kHashRows : rows;
    for (int h = 0; h < planes.numHashes; h += kTileWidth) {
      int row = first;
      const auto each = [&](auto tile, int step) {
        for (; row + step <= end; row += step)
          tile(planes, kind, x + static_cast<std::size_t>(row) * dim, h, codes + static_cast<std::size_t>(row) * rowBytes, rowBytes);
      };
      each(hashTile<Words::kHashRows>, Words::kHashRows);
      each(hashTile<4>, 4);
      each(hashTile<1>, 1);
    }
  }
}

// Puts a row into the list: each place takes what was before it if that is larger, else the smaller of its own and the row.
inline void offer(Nearest& nearest, std::uint64_t distance, int index) {
  using V = Words::V;
  constexpr int kLanes = static_cast<int>(sizeof(V) / sizeof(Ranked));
  const V offered = Words::set(distance << 32 | static_cast<std::uint32_t>(index));
  V previous = Words::zero();
  for (int at = 0; at < paddedRanks(nearest.count); at += kLanes) {
    const V own = Words::load(nearest.best + at);
    Words::store(nearest.best + at, Words::larger(Words::shifted(previous, own), Words::smaller(own, offered)));
    previous = own;
  }
  const std::uint64_t last = nearest.best[nearest.count - 1] >> 32;
  if (last < nearest.limit) nearest.limit = last;
}

// Distances of the 8 rows of a block from kQueries queries. Counts of bits are kept in bytes as long as they fit: 31 words.
template <class Distance, int kQueries, int kWords>
inline void scanBlocks(const ScanTask& task) {
  using V = Words::V;
  constexpr int kVectors = kBlockRows * 8 / static_cast<int>(sizeof(V));
  constexpr int kLanes = kBlockRows / kVectors, kBatch = 31;
  const int words = kWords > 0 ? kWords : task.table.words, rows = task.table.rows;
  // Queries of few words stay in registers, where there are enough.
  V fixed[kQueries][kWords > 0 ? kWords : 1];
  const std::uint64_t* queries[kQueries];
  V limits[kQueries];
  for (int q = 0; q < kQueries; ++q) {
    queries[q] = task.queries[q];
    limits[q] = Words::set(task.nearest[q]->limit);
    for (int w = 0; w < kWords; ++w) fixed[q][w] = Words::set(queries[q][w]);
  }
  const std::uint64_t* block = task.table.blocks + blockWordsOf(task.firstBlock * kBlockRows, words);
  for (int b = task.firstBlock; b < task.endBlock; ++b, block += words * kBlockRows) {
    V sums[kQueries][kVectors];
    for (int q = 0; q < kQueries; ++q) {
      for (int v = 0; v < kVectors; ++v) sums[q][v] = Words::zero();
    }
    for (int first = 0; first < words; first += kBatch) {
      const int end = first + kBatch < words ? first + kBatch : words;
      V parts[kQueries][kVectors];
      for (int q = 0; q < kQueries; ++q) {
        for (int v = 0; v < kVectors; ++v) parts[q][v] = Words::zero();
      }
      for (int w = first; w < end; ++w) {
        V codes[kVectors];
        for (int v = 0; v < kVectors; ++v) codes[v] = Words::load(block + w * kBlockRows + v * kLanes);
        for (int q = 0; q < kQueries; ++q) {
          const V query = kWords > 0 ? fixed[q][w] : Words::set(queries[q][w]);
          for (int v = 0; v < kVectors; ++v) parts[q][v] = Distance::add(parts[q][v], codes[v], query);
        }
      }
      for (int q = 0; q < kQueries; ++q) {
        for (int v = 0; v < kVectors; ++v) sums[q][v] = Words::addWords(sums[q][v], Distance::total(parts[q][v]));
      }
    }
    for (int q = 0; q < kQueries; ++q) {
      unsigned below = 0;
      for (int v = 0; v < kVectors; ++v) below |= Words::below(sums[q][v], limits[q]) << (v * kLanes);
      if (below == 0) continue;
      alignas(64) std::uint64_t distances[kBlockRows];
      for (int v = 0; v < kVectors; ++v) Words::store(distances + v * kLanes, sums[q][v]);
      Nearest& nearest = *task.nearest[q];
      for (; below != 0; below &= below - 1) {
        const int i = __builtin_ctz(below);
        if (distances[i] < nearest.limit && b * kBlockRows + i < rows) offer(nearest, distances[i], b * kBlockRows + i);
      }
      limits[q] = Words::set(nearest.limit);
    }
  }
}

template <class Distance, int kQueries>
void scanWords(const ScanTask& task) {
  switch (task.table.words) {
    case 1: return scanBlocks<Distance, kQueries, 1>(task);
    case 2: return scanBlocks<Distance, kQueries, 2>(task);
    case 4: return scanBlocks<Distance, kQueries, 4>(task);
    case 8: return scanBlocks<Distance, kQueries, 8>(task);
    default: return scanBlocks<Distance, kQueries, 0>(task);
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

// body(i, n, chain) over vectors of [0, dim), the last of them perhaps short; four chains hide the latency of additions.
template <class Body>
inline void eachVector(int dim, Body body) {
  constexpr int kChains = 4;
  int i = 0;
  for (; i + kChains * Vec::kLanes <= dim; i += kChains * Vec::kLanes) {
    for (int chain = 0; chain < kChains; ++chain) body(i + chain * Vec::kLanes, Vec::kLanes, chain);
  }
  for (; i < dim; i += Vec::kLanes) body(i, dim - i < Vec::kLanes ? dim - i : Vec::kLanes, 0);
}

inline Vec::F loadUpTo(const float* p, int n) { return n == Vec::kLanes ? Vec::load(p) : Vec::loadPart(p, n); }

inline double sumOf(const Vec::F (&chains)[4]) {
  return static_cast<double>(Vec::sum(Vec::add(Vec::add(chains[0], chains[1]), Vec::add(chains[2], chains[3]))));
}

Products products(const float* a, const float* b, int dim) {
  Vec::F dots[4] = {Vec::zero(), Vec::zero(), Vec::zero(), Vec::zero()};
  Vec::F squares[4] = {Vec::zero(), Vec::zero(), Vec::zero(), Vec::zero()};
  eachVector(dim, [&](int i, int n, int chain) {
    const Vec::F right = loadUpTo(b + i, n);
    dots[chain] = Vec::fma(loadUpTo(a + i, n), right, dots[chain]);
    squares[chain] = Vec::fma(right, right, squares[chain]);
  });
  return {sumOf(dots), sumOf(squares)};
}

double squaredDistance(const float* a, const float* b, int dim) {
  Vec::F squares[4] = {Vec::zero(), Vec::zero(), Vec::zero(), Vec::zero()};
  eachVector(dim, [&](int i, int n, int chain) {
    const Vec::F apart = Vec::sub(loadUpTo(a + i, n), loadUpTo(b + i, n));
    squares[chain] = Vec::fma(apart, apart, squares[chain]);
  });
  return sumOf(squares);
}

constexpr Kernels kTable = {hash, scan, products, squaredDistance};

}  // namespace
}  // namespace kvasir::lsh
