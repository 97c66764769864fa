// What the kernels of linear have in common: the parts of a call, one grid over all of them.
#pragma once

#include "../args/linear.h"
#include "../context/vocabulary.h"
#include "row_vectors.h"
#include "weight_tiles.h"

namespace kvasir::gpu {

struct LinearPartArgs {
  const std::uint32_t* weights;
  const float* bias;
  float* out;
  std::size_t outStride;
  int type;    // as stored
  int rows;    // of the weight
  int blocks;  // along x of the grid
  bool accumulate;
};

struct LinearArgs {
  const float* x;
  std::size_t xStride;
  bool vectors;  // x may be read four at a time
  const std::uint16_t* halves;
  const float* scales;
  int rows, cols, tiles;
  int numParts;
  LinearPartArgs parts[KVASIR_LINEAR_PARTS];
  int stages, stageWords;  // prefill, fast
};

// The part that block `block` belongs to; `block` becomes the one in it.
KVASIR_DEVICE const LinearPartArgs& partOf(const LinearArgs& args, int& block) {
  int p = 0;
  while (p + 1 < args.numParts && block >= args.parts[p].blocks) block -= args.parts[p++].blocks;
  return args.parts[p];
}

// out[row][n] (+)= sum + bias
KVASIR_DEVICE void storeOutput(const LinearPartArgs& part, int row, int n, float sum) {
  float* out = part.out + static_cast<std::size_t>(row) * part.outStride + n;
  const float value = part.bias != nullptr ? sum + part.bias[n] : sum;
  *out = part.accumulate ? *out + value : value;
}

// One lane's f16 pairs of a step's mma operand, and scales as f16 twice in a word.
template <class Cx, class Steps>
KVASIR_DEVICE void leftOperand(Cx& cx, const Steps& steps, const std::uint32_t (&scale)[2], const std::uint32_t (&min)[2], int s,
                               std::uint32_t (&a)[4]) {
  KVASIR_UNROLL
  for (int i = 0; i < 4; ++i) a[i] = steps.halves(cx, scale, min, s, i);
}

template <class Cx>
KVASIR_DEVICE void halfScales(Cx& cx, const RowScales& rows, std::uint32_t (&scale)[2], std::uint32_t (&min)[2]) {
  KVASIR_UNROLL
  for (int h = 0; h < 2; ++h) {
    scale[h] = cx.toHalves(rows.scale[h], rows.scale[h]);
    min[h] = cx.toHalves(rows.min[h], rows.min[h]);
  }
}

}  // namespace kvasir::gpu
