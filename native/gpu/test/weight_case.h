// Random weights of every GGUF type: as a file holds them, on the device, and as numbers.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "../../test/linear_random.h"
#include "../weights/pack.h"
#include "suite.h"

namespace kvasir::gpu::test {

using kvasir::test::NamedType;
using kvasir::test::weightTypes;

struct WeightCase {
  int type, rows, cols;
  std::vector<float> values;  // [rows][cols], by the CPU's reading of the same bytes
  Buffer<std::uint8_t> data;

  KvasirWeight weight() const { return {data.get(), type, rows, cols}; }
};

// The least number of columns from `cols` on that a type takes.
inline int fitCols(WeightType type, int cols) {
  const int block = lin::fileBlockCols(type);
  return (cols + block - 1) / block * block;
}

inline WeightCase drawWeight(Case& c, WeightType type, int rows, int cols) {
  kvasir::test::Random random(c.random());
  const std::vector<std::uint8_t> file = kvasir::test::randomFileRows(random, type, rows, cols);
  const std::size_t width = static_cast<std::size_t>(cols), height = static_cast<std::size_t>(rows);
  WeightCase w{static_cast<int>(type), rows, cols, std::vector<float>(height * width), {}};
  const kvasir::test::OwnedWeight known(type, rows, cols, Isa::scalar, file);
  for (int row = 0; row < rows && cols > 0; ++row) dequantiseRow(known.weight, row, &w.values[static_cast<std::size_t>(row) * width]);

  // In pieces, as a loader streams them.
  std::vector<std::uint8_t> packed(deviceWeightBytes(w.type, rows, cols), 0xCD);
  const std::size_t rowBytes = static_cast<std::size_t>(cols / lin::fileBlockCols(type) * lin::fileBlockBytes(type));
  constexpr int kPiece = 64;
  for (int first = 0; first < rows; first += kPiece) {
    packDeviceRows(w.type, cols, std::min(kPiece, rows - first), file.data() + static_cast<std::size_t>(first) * rowBytes,
                   packed.data() + deviceWeightBytes(w.type, first, cols));
  }
  w.data = c.upload(packed);
  return w;
}

}  // namespace kvasir::gpu::test
