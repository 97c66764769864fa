// The table of one instruction set; its leaf has included the right `Vec` before. Only the table has external linkage.
#pragma once

#include "../simd/exp.inl"
#include "kernels.h"
#include "rotate.inl"
#include "turn.inl"
#include "vectors.inl"

namespace kvasir::rows {
namespace {

void rmsNorm(const float* x, const float* weight, float eps, int dim, float* out) {
  constexpr int kChains = 4;  // hides the latency of the additions
  Vec::F squares[kChains] = {Vec::zero(), Vec::zero(), Vec::zero(), Vec::zero()};
  int at = 0;
  for (; at + kChains * Vec::kLanes <= dim; at += kChains * Vec::kLanes) {
    for (int c = 0; c < kChains; ++c) {
      const Vec::F value = Vec::load(x + at + c * Vec::kLanes);
      squares[c] = Vec::fma(value, value, squares[c]);
    }
  }
  eachVector(dim - at, [&](int i, int n) {
    const Vec::F value = loadUpTo(x + at + i, n);
    squares[0] = Vec::fma(value, value, squares[0]);
  });
  const float sum = Vec::sum(Vec::add(Vec::add(squares[0], squares[1]), Vec::add(squares[2], squares[3])));
  const Vec::F inverse = Vec::set(1.0f / __builtin_sqrtf(sum / static_cast<float>(dim) + eps));
  eachVector(dim, [&](int i, int n) {
    storeUpTo(out + i, Vec::mul(Vec::mul(loadUpTo(x + i, n), inverse), loadUpTo(weight + i, n)), n);
  });
}

// x * sigmoid(x) from exp(-|x|) <= 1, so that nothing overflows.
inline Vec::F silu(Vec::F x) {
  const Vec::F fade = expNonPositive(Vec::sub(Vec::zero(), Vec::abs(x)));
  const Vec::F one = Vec::set(1.0f);
  return Vec::mul(x, Vec::div(Vec::select(Vec::negative(x), fade, one), Vec::add(one, fade)));
}

void siluGate(const float* gate, const float* up, int count, float* out) {
  eachVector(count,
             [&](int i, int n) { storeUpTo(out + i, Vec::mul(silu(loadUpTo(gate + i, n)), loadUpTo(up + i, n)), n); });
}

template <class T>
void addSquares(const float* x, const T* stored, int count, double* sums) {
  constexpr int kChains = 2;
  Vec::F apart[kChains] = {Vec::zero(), Vec::zero()}, whole[kChains] = {Vec::zero(), Vec::zero()};
  const auto add = [&](int chain, int i, int n) {
    const Vec::F value = loadUpTo(x + i, n), difference = Vec::sub(value, loadUpTo(stored + i, n));
    apart[chain] = Vec::fma(difference, difference, apart[chain]);
    whole[chain] = Vec::fma(value, value, whole[chain]);
  };
  int at = 0;
  for (; at + kChains * Vec::kLanes <= count; at += kChains * Vec::kLanes) {
    for (int c = 0; c < kChains; ++c) add(c, at + c * Vec::kLanes, Vec::kLanes);
  }
  eachVector(count - at, [&](int i, int n) { add(0, at + i, n); });
  sums[0] += static_cast<double>(Vec::sum(Vec::add(apart[0], apart[1])));
  sums[1] += static_cast<double>(Vec::sum(Vec::add(whole[0], whole[1])));
}

constexpr Kernels kTable = {rmsNorm,    rotateHalf,      rotateInterleaved,         turnHalf,
                            turnInterleaved, copyRows, settle, addSquares<std::uint16_t>, addSquares<float>, siluGate};

}  // namespace
}  // namespace kvasir::rows
