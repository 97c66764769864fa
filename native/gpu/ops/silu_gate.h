// Bound: gate and up once from memory, out once.
#pragma once

#include "../args/silu_gate.h"
#include "../context/launcher.h"
#include "row_work.h"

namespace kvasir::gpu {

// x * sigmoid(x) from exp(-|x|) <= 1, so that nothing overflows.
template <class Cx>
KVASIR_DEVICE float silu(Cx& cx, float x) {
  const float magnitude = x < 0.0f ? -x : x, fade = cx.exp2(-1.44269504f * magnitude);
  return x * ((x < 0.0f ? fade : 1.0f) / (1.0f + fade));
}

template <class Cx>
KVASIR_DEVICE void gatedAt(Cx& cx, const float* gate, const float* up, int count, bool aligned, float (&values)[4]) {
  float ups[4];
  loadUpTo4(cx, gate, count, aligned, values);
  loadUpTo4(cx, up, count, aligned, ups);
  KVASIR_UNROLL
  for (int i = 0; i < 4; ++i) values[i] = silu(cx, values[i]) * ups[i];
}

struct SiluGate {
  struct Args {
    const float *gate, *up;
    float* out;
    long long count;
    bool aligned;
  };

  static constexpr int kThreads = 128, kMinBlocks = 8;
  static constexpr unsigned kSharedBytes = 0;

  static Plan plan(long long count) { return {static_cast<unsigned>(least(ceilDiv(count, 4LL * kThreads), 0x7fffffffLL)), 1, 0}; }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    cx.each([&](int thread) {
      const long long step = 4LL * kThreads * cx.gridX();
      for (long long at = (static_cast<long long>(cx.blockX()) * kThreads + thread) * 4; at < args.count; at += step) {
        const int count = static_cast<int>(least(args.count - at, 4LL));
        float values[4];
        gatedAt(cx, args.gate + at, args.up + at, count, args.aligned, values);
        storeUpTo4(cx, args.out + at, count, args.aligned, values);
      }
    });
  }
};

// The same with rows as f16 beside it: one block a row.
struct SiluGateRows {
  struct Args {
    KvasirSiluGateArgs op;
    int halfCols;
    bool aligned;
  };

  static constexpr int kWarps = 16, kThreads = kWarps * kWarp, kMinBlocks = 2;
  static constexpr unsigned kSharedBytes = kWarps * 4;

  struct Regs {
    std::uint32_t largest;
  };

  static Plan plan(int rows) { return {static_cast<unsigned>(rows), 1, kSharedBytes}; }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    using Work = RowWork<kWarps>;
    const KvasirSiluGateArgs& op = args.op;
    typename Cx::template Threads<Regs> regs(cx);
    auto peaks = cx.template shared<std::uint32_t>(kWarps);
    const std::size_t row = static_cast<std::size_t>(cx.blockX()), at = row * static_cast<std::size_t>(op.dim);
    const auto valueAt = [&](int k, float(&values)[4]) {
      gatedAt(cx, op.gate + at + k, op.up + at + k, op.dim - k, args.aligned, values);
    };
    cx.each(regs, [&](int thread, Regs& r) {
      r.largest = 0;
      Work::eachVector(thread, op.dim, [&](int k) {
        float values[4];
        valueAt(k, values);
        r.largest = largestOf(cx, r.largest, values);
      });
    });
    Work::largest(cx, regs, &Regs::largest, peaks);
    cx.each(regs, [&](int thread, Regs& r) {
      Work::prepare(cx, op.prepared, row, op.dim, args.halfCols, thread, r.largest, valueAt);
    });
    if (op.out == nullptr) return;
    cx.each([&](int thread) {
      Work::eachVector(thread, op.dim, [&](int k) {
        float values[4];
        valueAt(k, values);
        storeUpTo4(cx, op.out + at + k, op.dim - k, args.aligned, values);
      });
    });
  }
};

inline int launchSiluGate(Launcher launcher, const KvasirSiluGateArgs& args) {
  if (args.rows < 0 || args.dim < 0) return launcher.refuse("siluGate: rows or dim is negative");
  if (args.prepared.halves == nullptr && args.out == nullptr) return launcher.refuse("siluGate: neither out nor prepared is given");
  if (!isAligned(args.prepared.halves)) return launcher.refuse("siluGate: prepared.halves must be 16-byte aligned");
  if (args.rows == 0 || args.dim == 0) return KVASIR_GPU_OK;
  const bool aligned = isAligned(args.gate) && isAligned(args.up) && isAligned(args.out);
  if (args.prepared.halves == nullptr) {
    const long long count = static_cast<long long>(args.rows) * args.dim;
    return launcher.run<SiluGate>(SiluGate::plan(count), {args.gate, args.up, args.out, count, aligned});
  }
  return launcher.run<SiluGateRows>(SiluGateRows::plan(args.rows), {args, kvasirHalfCols(args.dim), aligned && args.dim % 4 == 0});
}

}  // namespace kvasir::gpu
