// (o, lse) of several parts into one, a warp a row. Bound: rows headDim (parts + 1) floats at the speed of memory.
#pragma once

#include <cmath>

#include "../args/merge_states.h"
#include "../context/launcher.h"
#include "merge_parts.h"

namespace kvasir::gpu {

struct MergeStates {
  using Args = KvasirMergeStatesArgs;

  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 8;
  static constexpr unsigned kSharedBytes = 0;
  static constexpr int kRows = kThreads / kWarp;

  struct Regs {
    float weights[KVASIR_MAX_PARTS];
    float lse;
  };

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    typename Cx::template Threads<Regs> regs(cx);
    // All lanes have read what one of them may overwrite before it does.
    cx.each(regs, [&](int thread, Regs& r) {
      const int row = cx.blockX() * kRows + thread / kWarp;
      if (row < args.rows) weigh(cx, args, row, r);
    });
    cx.syncWarp();
    cx.each(regs, [&](int thread, Regs& r) {
      const int row = cx.blockX() * kRows + thread / kWarp;
      if (row >= args.rows) return;
      if (args.lse != nullptr && thread % kWarp == 0) args.lse[row] = r.lse;
      const std::size_t first = static_cast<std::size_t>(row) * static_cast<std::size_t>(args.headDim);
      for (int dim = 4 * (thread % kWarp); dim < args.headDim; dim += 4 * kWarp) {
        float out[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        KVASIR_UNROLL
        for (int part = 0; part < KVASIR_MAX_PARTS; ++part) {
          if (part >= args.parts || !(r.weights[part] > 0.0f)) continue;
          const Vec16 values = cx.load16(args.outs[part] + first + dim);
          KVASIR_UNROLL
          for (int i = 0; i < 4; ++i) out[i] = cx.fma(r.weights[part], cx.asFloat(values.word[i]), out[i]);
        }
        Vec16 merged;
        KVASIR_UNROLL
        for (int i = 0; i < 4; ++i) merged.word[i] = cx.asBits(out[i]);
        cx.store16(args.out + first + dim, merged);
      }
    });
  }

 private:
  // Weights that add up to one, 0 for parts without rows.
  template <class Cx>
  static KVASIR_DEVICE void weigh(Cx& cx, const Args& args, int row, Regs& r) {
    float max = -INFINITY, sum = 0.0f;
    KVASIR_UNROLL
    for (int part = 0; part < KVASIR_MAX_PARTS; ++part) {
      r.weights[part] = part < args.parts ? args.lses[part][row] : -INFINITY;
      max = most(max, r.weights[part]);
    }
    KVASIR_UNROLL
    for (int part = 0; part < KVASIR_MAX_PARTS; ++part) {
      r.weights[part] = r.weights[part] == -INFINITY ? 0.0f : cx.exp2((r.weights[part] - max) * kLog2E);
      sum += r.weights[part];
    }
    r.lse = max == -INFINITY ? max : max + cx.log2(sum) * kLn2;
    KVASIR_UNROLL
    for (int part = 0; part < KVASIR_MAX_PARTS; ++part) {
      if (sum > 0.0f) r.weights[part] /= sum;
    }
  }
};

inline int launchMergeStates(Launcher launcher, const KvasirMergeStatesArgs& args) {
  if (args.parts < 1 || args.parts > KVASIR_MAX_PARTS) {
    return launcher.refuse("mergeStates: parts must be 1 to " + std::to_string(static_cast<int>(KVASIR_MAX_PARTS)));
  }
  if (args.rows < 0) return launcher.refuse("mergeStates: rows is negative");
  if (args.headDim <= 0 || args.headDim % 4 != 0) return launcher.refuse("mergeStates: headDim must be a multiple of 4");
  if (args.rows == 0) return KVASIR_GPU_OK;
  Plan plan;
  plan.gridX = static_cast<unsigned>(ceilDiv(args.rows, MergeStates::kRows));
  return launcher.run<MergeStates>(plan, args);
}

}  // namespace kvasir::gpu
