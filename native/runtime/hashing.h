// Planes and codes as the kernels read them, with the memory behind them.
#pragma once

#include <cstdint>
#include <vector>

#include "kvasir/lsh.h"

namespace kvasir {

struct PackedPlanes {
  // planes [numHashes][dim]; offsets [numHashes], or empty for signs.
  PackedPlanes(const float* planes, int numHashes, int dim, std::vector<float> offsetValues, float width)
      : panels(static_cast<std::size_t>(numHashes) * dim),
        offsets(std::move(offsetValues)),
        planes{numHashes, dim, panels.data(), offsets.data(), width} {
    packPlanes(planes, numHashes, dim, panels.data());
  }
  PackedPlanes(const PackedPlanes&) = delete;
  PackedPlanes& operator=(const PackedPlanes&) = delete;

  HashKind codeKind() const { return offsets.empty() ? HashKind::signs : HashKind::floors; }

  std::vector<float> panels;
  std::vector<float> offsets;
  HashPlanes planes;
};

struct PackedCodes {
  PackedCodes(CodeDistance distance, const std::uint8_t* codes, int rows, int words)
      : blocks(blockWordsOf(rows, words)), table{distance, rows, words, blocks.data()} {
    packCodes(codes, rows, words, blocks.data());
  }
  PackedCodes(const PackedCodes&) = delete;
  PackedCodes& operator=(const PackedCodes&) = delete;

  std::vector<std::uint64_t> blocks;
  CodeTable table;
};

}  // namespace kvasir
