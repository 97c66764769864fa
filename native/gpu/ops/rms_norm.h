// Bound: x once from memory and once or twice from caches, out once.
#pragma once

#include "../args/rms_norm.h"
#include "../context/launcher.h"
#include "row_work.h"

namespace kvasir::gpu {

// kWarps a vector, kVectors vectors a block: which, dim alone decides.
template <int kWarps, int kVectors>
struct RmsNorm {
  struct Args {
    KvasirRmsNormArgs op;
    long long vectors;
    int halfCols;
    bool aligned;
  };

  static_assert(kWarps == 1 || kVectors == 1, "a block's barriers are of one vector");
  static constexpr int kThreads = kWarps * kVectors * kWarp, kMinBlocks = 4;
  static constexpr unsigned kSharedBytes = ceilDiv(4 * kWarps, 16) * 16 + 4 * kWarps;

  struct Regs {
    float squares;
    std::uint32_t largest;
  };

  static Plan plan(long long vectors) { return {static_cast<unsigned>(ceilDiv(vectors, static_cast<long long>(kVectors))), 1, kSharedBytes}; }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    using Work = RowWork<kWarps>;
    const KvasirRmsNormArgs& op = args.op;
    typename Cx::template Threads<Regs> regs(cx);
    auto sums = cx.template shared<float>(kWarps);
    auto peaks = cx.template shared<std::uint32_t>(kWarps);
    // Threads behind the last vector do its work again, and keep it.
    const auto rowOf = [&](int thread) {
      const long long vector = static_cast<long long>(cx.blockX()) * kVectors + thread / Work::kThreads;
      return static_cast<std::size_t>(least(vector, args.vectors - 1));
    };
    const auto isOwn = [&](int thread) { return static_cast<long long>(cx.blockX()) * kVectors + thread / Work::kThreads < args.vectors; };

    cx.each(regs, [&](int thread, Regs& r) {
      const float* x = op.x + rowOf(thread) * static_cast<std::size_t>(op.dim);
      r.squares = 0.0f;
      Work::eachVector(thread, op.dim, [&](int k) {
        float values[4];
        loadUpTo4(cx, x + k, op.dim - k, args.aligned, values);
        KVASIR_UNROLL
        for (int i = 0; i < 4; ++i) r.squares = cx.fma(values[i], values[i], r.squares);
      });
    });
    Work::sum(cx, regs, &Regs::squares, sums);

    const auto normedAt = [&](std::size_t row, float squares, int k, float(&values)[4]) {
      const float inverse = 1.0f / cx.sqrt(squares / static_cast<float>(op.dim) + op.eps);
      float weights[4];
      loadUpTo4(cx, op.x + row * static_cast<std::size_t>(op.dim) + k, op.dim - k, args.aligned, values);
      loadUpTo4(cx, op.weight + k, op.dim - k, args.aligned, weights);
      KVASIR_UNROLL
      for (int i = 0; i < 4; ++i) values[i] = values[i] * inverse * weights[i];
    };
    if (op.prepared.halves != nullptr) {
      cx.each(regs, [&](int thread, Regs& r) {
        r.largest = 0;
        Work::eachVector(thread, op.dim, [&](int k) {
          float values[4];
          normedAt(rowOf(thread), r.squares, k, values);
          r.largest = largestOf(cx, r.largest, values);
        });
      });
      Work::largest(cx, regs, &Regs::largest, peaks);
      cx.each(regs, [&](int thread, Regs& r) {
        if (!isOwn(thread)) return;
        const std::size_t row = rowOf(thread);
        Work::prepare(cx, op.prepared, row, op.dim, args.halfCols, thread, r.largest,
                      [&](int k, float(&values)[4]) { normedAt(row, r.squares, k, values); });
      });
    }
    if (op.out == nullptr) return;
    cx.each(regs, [&](int thread, Regs& r) {
      if (!isOwn(thread)) return;
      const std::size_t row = rowOf(thread);
      Work::eachVector(thread, op.dim, [&](int k) {
        float values[4];
        normedAt(row, r.squares, k, values);
        storeUpTo4(cx, op.out + row * static_cast<std::size_t>(op.dim) + k, op.dim - k, args.aligned, values);
      });
    });
  }
};

inline int launchRmsNorm(Launcher launcher, const KvasirRmsNormArgs& args) {
  if (args.rows < 0 || args.groups < 0) return launcher.refuse("rmsNorm: rows or groups is negative");
  if (args.dim <= 0) return launcher.refuse("rmsNorm: dim must be positive");
  if (args.prepared.halves != nullptr && args.groups != 1) return launcher.refuse("rmsNorm: prepared rows are of one group");
  if (args.prepared.halves == nullptr && args.out == nullptr) return launcher.refuse("rmsNorm: neither out nor prepared is given");
  if (!isAligned(args.prepared.halves)) return launcher.refuse("rmsNorm: prepared.halves must be 16-byte aligned");
  if (args.rows == 0 || args.groups == 0) return KVASIR_GPU_OK;
  const long long vectors = static_cast<long long>(args.rows) * args.groups;
  const bool aligned = args.dim % 4 == 0 && isAligned(args.x) && isAligned(args.weight) && isAligned(args.out);
  const int halfCols = kvasirHalfCols(args.dim);
  constexpr int kWarpDim = 256;
  if (args.dim <= kWarpDim) return launcher.run<RmsNorm<1, 4>>(RmsNorm<1, 4>::plan(vectors), {args, vectors, halfCols, aligned});
  return launcher.run<RmsNorm<8, 1>>(RmsNorm<8, 1>::plan(vectors), {args, vectors, halfCols, aligned});
}

}  // namespace kvasir::gpu
