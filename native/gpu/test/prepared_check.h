// Rows in the form that the fast mode of linear takes, against the f32 rows that they come from.
#pragma once

#include <algorithm>
#include <cmath>

#include "../../cpu/simd/half.h"
#include "suite.h"

namespace kvasir::gpu::test {

struct PreparedBuffers {
  int rows, cols;
  Buffer<std::uint16_t> halves;
  Buffer<float> scales;

  PreparedBuffers(Case& c, int rows, int cols)
      : rows(rows), cols(cols),
        halves(c.poisoned<std::uint16_t>(static_cast<std::size_t>(rows) * static_cast<std::size_t>(kvasirHalfCols(cols)), true)),
        scales(c.poisoned<float>(static_cast<std::size_t>(rows), true)) {}

  KvasirHalfRows view() const { return {halves.get(), scales.get()}; }

  // To the bit what `x` [rows][cols] gives.
  void same(Case& c, const std::vector<float>& x) const {
    const std::size_t width = static_cast<std::size_t>(cols), padded = static_cast<std::size_t>(kvasirHalfCols(cols));
    std::vector<std::uint16_t> wantHalves(static_cast<std::size_t>(rows) * padded, 0);
    std::vector<float> wantScales;
    for (std::size_t r = 0; r < static_cast<std::size_t>(rows); ++r) {
      float largest = 0.0f;
      for (std::size_t k = 0; k < width; ++k) largest = std::max(largest, std::fabs(x[r * width + k]));
      const float up = largest < 0x1p-112f ? 0x1p-126f : std::ldexp(1.0f, std::ilogb(largest) - 14);
      wantScales.push_back(up);
      for (std::size_t k = 0; k < width; ++k) wantHalves[r * padded + k] = floatToHalf(x[r * width + k] / up);
    }
    c.same(c.download(scales), wantScales, "scales");
    c.same(c.download(halves), wantHalves, "halves");
  }
};

}  // namespace kvasir::gpu::test
