// Rows of one head as f32: each thread takes 16 bytes of a stored row.
#pragma once

#include "../args/read_kv.h"
#include "../context/launcher.h"
#include "elements.h"
#include "rows.h"
#include "slot_rows.h"

namespace kvasir::gpu {

// Bound: copies.
template <class T>
struct ReadKv {
  struct Args {
    KvasirReadKvArgs op;
    int laneBits;  // log2 of the threads that a row gets
  };

  static constexpr int kThreads = kCopyThreads;
  static constexpr int kMinBlocks = 8;
  static constexpr unsigned kSharedBytes = 0;
  static constexpr int kCount = kPerVector<T>;

  static Plan plan(const KvasirReadKvArgs& args, int laneBits) {
    Plan plan;
    plan.gridX = boundedGrid(ceilDiv(args.end - args.start, kThreads >> laneBits), 0);
    return plan;
  }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const KvasirReadKvArgs& op = args.op;
    const int rowsPerBlock = kThreads >> args.laneBits, lanes = 1 << args.laneBits, vectors = op.kv.headDim / kCount;
    cx.each([&](int thread) {
      const int r = cx.blockX() * rowsPerBlock + (thread >> args.laneBits), index = op.start + r;
      if (index >= op.end) return;
      const int slot = op.pages[index / KVASIR_PAGE_TOKENS] * KVASIR_PAGE_TOKENS + index % KVASIR_PAGE_TOKENS;
      const std::uint8_t* from = rowOf({op.kv, op.layer, nullptr}, slot, op.kvHead, op.values != 0, 16 * vectors);
      float* to = op.out + static_cast<std::size_t>(r) * static_cast<std::size_t>(op.kv.headDim);
      for (int v = thread & (lanes - 1); v < vectors; v += lanes) {
        float x[kCount];
        unpack<T>(cx, cx.load16(from + 16 * v), x);
        KVASIR_UNROLL
        for (int i = 0; i < kCount; i += 4) {
          cx.store16(to + v * kCount + i, {{cx.asBits(x[i]), cx.asBits(x[i + 1]), cx.asBits(x[i + 2]), cx.asBits(x[i + 3])}});
        }
      }
    });
  }
};

inline int launchReadKv(Launcher launcher, const KvasirReadKvArgs& args) {
  if (args.start < 0 || args.end < args.start) return launcher.refuse("readKv: rows [start, end) must ascend from 0");
  if (!isStored(args.kv)) return launcher.refuse("readKv: type must be f16 or f32, rows 16 to 2048 bytes, a multiple of 16");
  if (args.kvHead < 0 || args.kvHead >= args.kv.numKvHeads) return launcher.refuse("readKv: there is no such KV head");
  if (args.start == args.end) return KVASIR_GPU_OK;
  const int laneBits = log2Of(lanesOf(static_cast<std::size_t>(storedRowBytes(args.kv) / 16)));
  if (args.kv.type == KVASIR_F16) return launcher.run<ReadKv<Half>>(ReadKv<Half>::plan(args, laneBits), {args, laneBits});
  return launcher.run<ReadKv<float>>(ReadKv<float>::plan(args, laneBits), {args, laneBits});
}

}  // namespace kvasir::gpu
