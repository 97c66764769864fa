// Softmax states over disjoint rows into one over all of them (FlashInfer, arXiv 2501.01005, section 2.2).
#pragma once

#include <cmath>

#include "../context/vocabulary.h"

namespace kvasir::gpu {

// Sum of 2^(score - max) of a query over some rows; max is -inf where there are none.
struct SoftmaxStats {
  float max;
  float sum;
};

// Four values of an output, not yet divided by the sum.
struct Merged {
  float out[4];
  float max;
  float sum;
};

// Parts [0, parts) in order: statsOf(part), and valuesOf(part) four sums of weighted values.
template <class Cx, class StatsOf, class ValuesOf>
KVASIR_DEVICE Merged mergeParts(Cx& cx, int parts, const StatsOf& statsOf, const ValuesOf& valuesOf) {
  Merged merged = {{0.0f, 0.0f, 0.0f, 0.0f}, -INFINITY, 0.0f};
  for (int part = 0; part < parts; ++part) merged.max = most(merged.max, statsOf(part).max);
  for (int part = 0; part < parts; ++part) {
    const SoftmaxStats stats = statsOf(part);
    if (stats.max == -INFINITY) continue;  // it has no rows, and its values may be anything
    const float weight = cx.exp2(stats.max - merged.max);
    const Vec16 values = valuesOf(part);
    KVASIR_UNROLL
    for (int i = 0; i < 4; ++i) merged.out[i] = cx.fma(weight, cx.asFloat(values.word[i]), merged.out[i]);
    merged.sum = cx.fma(weight, stats.sum, merged.sum);
  }
  return merged;
}

constexpr float kLn2 = 0.693147180559945309417f;
constexpr float kLog2E = 1.44269504088896340736f;

// out of a query and its lse in natural log; out = 0 and -inf where there were no rows.
template <class Cx>
KVASIR_DEVICE Vec16 outOf(Cx& cx, const Merged& merged) {
  Vec16 out;
  KVASIR_UNROLL
  for (int i = 0; i < 4; ++i) out.word[i] = cx.asBits(merged.max == -INFINITY ? 0.0f : merged.out[i] / merged.sum);
  return out;
}

template <class Cx>
KVASIR_DEVICE float lseOf(Cx& cx, const Merged& merged) {
  return merged.max == -INFINITY ? -INFINITY : (merged.max + cx.log2(merged.sum)) * kLn2;
}

}  // namespace kvasir::gpu
