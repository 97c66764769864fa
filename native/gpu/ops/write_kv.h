// New K and V rows into their slots: each thread gives 16 bytes of a stored row.
#pragma once

#include "../args/write_kv.h"
#include "../context/launcher.h"
#include "elements.h"
#include "rows.h"
#include "slot_rows.h"

namespace kvasir::gpu {

// Bound: copies; 6 bytes a value of f16, read once and written once.
template <class T>
struct WriteKv {
  struct Args {
    KvasirWriteKvArgs op;
    int laneBits;  // log2 of the threads that a row of a head gets
  };

  static constexpr int kThreads = kCopyThreads;
  static constexpr int kMinBlocks = 8;
  static constexpr unsigned kSharedBytes = 0;
  static constexpr int kCount = kPerVector<T>;

  // Rows along x; K of head 0, V of head 0, K of head 1 and so on along y.
  static Plan plan(const KvasirWriteKvArgs& args, int laneBits) {
    Plan plan;
    plan.gridX = boundedGrid(ceilDiv(args.rows, kThreads >> laneBits), 0);
    plan.gridY = static_cast<unsigned>(2 * args.to.kv.numKvHeads);
    return plan;
  }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const KvasirWriteKvArgs& op = args.op;
    const int rowsPerBlock = kThreads >> args.laneBits, lanes = 1 << args.laneBits;
    const int headDim = op.to.kv.headDim, vectors = headDim / kCount, head = cx.blockY() / 2;
    const bool values = cx.blockY() % 2 == 1;
    const float* rows = values ? op.values : op.keys;
    cx.each([&](int thread) {
      const int r = cx.blockX() * rowsPerBlock + (thread >> args.laneBits);
      if (r >= op.rows) return;
      const int slot = op.to.slots[r];
      if (slot < 0) return;
      const std::size_t row = static_cast<std::size_t>(r) * static_cast<std::size_t>(op.to.kv.numKvHeads) + static_cast<std::size_t>(head);
      const float* from = rows + row * static_cast<std::size_t>(headDim);
      std::uint8_t* to = rowOf(op.to, slot, head, values, 16 * vectors);
      for (int v = thread & (lanes - 1); v < vectors; v += lanes) {
        float x[kCount];
        loadFloats<kCount>(cx, from + v * kCount, x);
        cx.store16(to + 16 * v, pack<T>(cx, x));
      }
    });
  }
};

inline int launchWriteKv(Launcher launcher, const KvasirWriteKvArgs& args) {
  const KvasirKvView& kv = args.to.kv;
  if (args.rows < 0) return launcher.refuse("writeKv: rows is negative");
  if (!isStored(kv)) return launcher.refuse("writeKv: type must be f16 or f32, rows 16 to 2048 bytes, a multiple of 16");
  if (args.rows == 0 || kv.numKvHeads == 0) return KVASIR_GPU_OK;
  const int laneBits = log2Of(lanesOf(static_cast<std::size_t>(storedRowBytes(kv) / 16)));
  if (kv.type == KVASIR_F16) return launcher.run<WriteKv<Half>>(WriteKv<Half>::plan(args, laneBits), {args, laneBits});
  return launcher.run<WriteKv<float>>(WriteKv<float>::plan(args, laneBits), {args, laneBits});
}

}  // namespace kvasir::gpu
