// The softmax state of up to eight queries whose scores, 16 keys by 8, and outputs, 16 dimensions by 8, lie in the
// accumulators of mma.m16n8k16: lane l has rows l / 4 and l / 4 + 8 of queries 2 (l % 4) and the next.
#pragma once

#include "merge_parts.h"

namespace kvasir::gpu {

// kHeadroom: weights reach 2^kHeadroom before they are rounded to float16, so that small ones keep their bits.
template <int kSteps, int kHeadroom>
struct MmaSoftmax {
  static constexpr float kUnit = 1.0f / static_cast<float>(1 << kHeadroom);

  struct Regs {
    float out[kSteps][4];
    float scores[4];
    float max[2], sum[2], fade[2], high[2], other[2];
    std::uint32_t weights[2], across[2];  // float16; keys by queries, and transposed: b of the mma with values
  };

  template <class Cx, class Threads>
  static KVASIR_DEVICE void begin(Cx& cx, Threads& regs) {
    cx.each(regs, [&](int, auto& r) {
      KVASIR_UNROLL
      for (int j = 0; j < 2; ++j) {
        r.max[j] = -INFINITY;
        r.sum[j] = 0.0f;
      }
      KVASIR_UNROLL
      for (int step = 0; step < kSteps; ++step) {
        KVASIR_UNROLL
        for (int i = 0; i < 4; ++i) r.out[step][i] = 0.0f;
      }
    });
  }

  // From the scores of a tile of which some key counts, -inf where one does not: weights times factorOf(lane's row).
  template <class Cx, class Threads, class FactorOf>
  static KVASIR_DEVICE void weigh(Cx& cx, Threads& regs, const FactorOf& factorOf) {
    cx.each(regs, [&](int, auto& r) {
      KVASIR_UNROLL
      for (int j = 0; j < 2; ++j) r.high[j] = cx.max(r.scores[j], r.scores[j + 2]);
    });
    acrossKeys(cx, regs, [](auto& r) -> float(&)[2] { return r.high; }, [&](float a, float b) { return cx.max(a, b); });
    cx.each(regs, [&](int thread, auto& r) {
      const int row = thread % kWarp / 4;
      KVASIR_UNROLL
      for (int j = 0; j < 2; ++j) {
        const float max = cx.max(r.max[j], r.high[j]);
        r.fade[j] = cx.exp2Approx(r.max[j] - max);
        r.max[j] = max;
        const float first = cx.exp2Approx(r.scores[j] - max + kHeadroom), second = cx.exp2Approx(r.scores[j + 2] - max + kHeadroom);
        r.sum[j] = cx.fma(r.sum[j], r.fade[j], first + second);
        r.scores[j] = first * factorOf(row);
        r.scores[j + 2] = second * factorOf(row + 8);
      }
      KVASIR_UNROLL
      for (int half = 0; half < 2; ++half) r.weights[half] = cx.toHalves(r.scores[2 * half], r.scores[2 * half + 1]);
      KVASIR_UNROLL
      for (int step = 0; step < kSteps; ++step) {
        KVASIR_UNROLL
        for (int i = 0; i < 4; ++i) r.out[step][i] *= r.fade[i % 2];
      }
    });
    for (int half = 0; half < 2; ++half) {
      cx.transpose(regs, [half](auto& r) -> std::uint32_t& { return r.weights[half]; },
                   [half](auto& r) -> std::uint32_t& { return r.across[half]; });
    }
  }

  // This warp's state: outs [queries][headDim], stats [queries] of (max, sum). dimOf(step, row): the dimension that row
  // l / 4 or l / 4 + 8 of an accumulator stands for.
  template <class Cx, class Threads, class DimOf>
  static KVASIR_DEVICE void finish(Cx& cx, Threads& regs, typename Cx::template Shared<float> outs, typename Cx::template Shared<float> stats,
                                   int headDim, int queries, const DimOf& dimOf) {
    acrossKeys(cx, regs, [](auto& r) -> float(&)[2] { return r.sum; }, [](float a, float b) { return a + b; });
    cx.each(regs, [&](int thread, auto& r) {
      const int lane = thread % kWarp;
      KVASIR_UNROLL
      for (int j = 0; j < 2; ++j) {
        const int query = 2 * (lane % 4) + j;
        if (query >= queries) continue;
        if (lane < 4) {
          stats[2 * query] = r.max[j];
          stats[2 * query + 1] = r.sum[j] * kUnit;
        }
        KVASIR_UNROLL
        for (int step = 0; step < kSteps; ++step) {
          if (16 * step >= headDim) break;
          outs[query * headDim + dimOf(step, lane / 4)] = r.out[step][j] * kUnit;
          outs[query * headDim + dimOf(step, lane / 4 + 8)] = r.out[step][j + 2] * kUnit;
        }
      }
    });
  }

 private:
  // Over the lanes that hold other keys of the same two queries.
  template <class Cx, class Threads, class Pair, class Join>
  static KVASIR_DEVICE void acrossKeys(Cx& cx, Threads& regs, const Pair& pair, const Join& join) {
    KVASIR_UNROLL
    for (int mask = 4; mask < kWarp; mask *= 2) {
      KVASIR_UNROLL
      for (int j = 0; j < 2; ++j) {
        cx.shuffleXor(regs, [&, j](auto& r) -> float& { return pair(r)[j]; }, [j](auto& r) -> float& { return r.other[j]; }, mask);
      }
      cx.each(regs, [&](int, auto& r) {
        KVASIR_UNROLL
        for (int j = 0; j < 2; ++j) pair(r)[j] = join(pair(r)[j], r.other[j]);
      });
    }
  }
};

}  // namespace kvasir::gpu
