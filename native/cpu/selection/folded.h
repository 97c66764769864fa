// Queries folded into one segment: score of a token = base + slope * (zeroSums + sum_i step(code_i) * weight_i).
#pragma once

#include <cstdint>

namespace kvasir::selection {

constexpr int kMaxHeadsAtOnce = 4;
// Sums of a token are spread over at most eight lanes.
constexpr int kZeroSums = 8;

struct alignas(64) FoldedSegment {
  std::int32_t zeroSums[kMaxHeadsAtOnce * kZeroSums];
  float base[kMaxHeadsAtOnce];
  float slope[kMaxHeadsAtOnce];
  const std::int8_t* weights;  // [heads][paddedDim], 64-byte aligned
};

}  // namespace kvasir::selection
