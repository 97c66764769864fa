// Which candidates outside a pool may yet belong to the chosen, by the radius of their segments.
#pragma once

#include <vector>

#include "kernels.h"
#include "plan.h"

namespace kvasir::selection {

// What is known of one KV head when its pool has been scored.
struct Bounds {
  const Kernels& kernels;
  const SegmentIndex& index;
  const SelectInput& input;
  const HeadPlan& plan;
  int kvHead, group;
  const float* powers;  // [group][stride] of the estimates, relative to a chunk's largest
  std::size_t stride;
  const float* maxima;  // [group][maximaStride] of the chunks
  std::size_t maximaStride;
  const float* poolLogSums;  // [group]
  const float* q;            // [group][paddedDim]
  const float* values;       // of the positions, by estimate
  Cut poolCut;
};

// Candidates outside the pool whose value, under the pool's denominators, may be as large as that of `key`, ascending;
// with `first` at most one of them. |q.k - estimate| <= |q| radius, and the rounding of weights to 8 bits adds half a
// step a channel.
std::vector<std::int32_t> tokensInDoubt(const Bounds& bounds, std::int32_t key, bool first);

}  // namespace kvasir::selection
