// Rotations of one head: plain loops, which compilers turn into vector code of the leaf's width. Without fused
// multiply-add, every instruction set gives the same bits.
#pragma once

namespace kvasir::rows {
namespace {

void rotateHalf(float* __restrict x, const float* __restrict cos, const float* __restrict sin, int pairs) {
  for (int i = 0; i < pairs; ++i) {
    const float a = x[i], b = x[i + pairs];
    x[i] = a * cos[i] - b * sin[i];
    x[i + pairs] = b * cos[i] + a * sin[i];
  }
}

void rotateInterleaved(float* __restrict x, const float* __restrict cos, const float* __restrict sin, int pairs) {
  for (int i = 0; i < pairs; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1];
    x[2 * i] = a * cos[i] - b * sin[i];
    x[2 * i + 1] = b * cos[i] + a * sin[i];
  }
}

}  // namespace
}  // namespace kvasir::rows
