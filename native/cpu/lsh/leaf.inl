// The table of one instruction set; its leaf has included the right `Vec` and `Words` before.
#pragma once

#include <cmath>
#include <cstring>

#include "kernels.h"
#include "scan.inl"

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
