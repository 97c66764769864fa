// New rows into a tiered cache: each thread gives 16 bytes of a stored row, twice where the row has a slot.
#pragma once

#include <string>

#include "../args/write_tiered.h"
#include "elements.h"
#include "hot_layer.h"
#include "rows.h"
#include "slot_rows.h"

namespace kvasir::gpu {

// Bound: 4 bytes a value read, 2 written over the link to the host.
struct WriteTiered {
  struct Args {
    KvasirWriteTieredArgs op;
    int laneBits;  // log2 of the threads that a row of a head gets
  };

  static constexpr int kThreads = kCopyThreads;
  static constexpr int kMinBlocks = 8;
  static constexpr unsigned kSharedBytes = 0;
  static constexpr int kCount = kPerVector<Half>;

  // Rows along x; K of head 0, V of head 0, K of head 1 and so on along y.
  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const KvasirWriteTieredArgs& op = args.op;
    const HotLayer hot(op.hot, op.to.layer, op.to.kv.headDim);
    const int rowsPerBlock = kThreads >> args.laneBits, lanes = 1 << args.laneBits;
    const int headDim = op.to.kv.headDim, vectors = headDim / kCount, head = cx.blockY() / 2;
    const bool values = cx.blockY() % 2 == 1;
    const float* rows = values ? op.values : op.keys;
    cx.each([&](int thread) {
      const int r = cx.blockX() * rowsPerBlock + (thread >> args.laneBits);
      if (r >= op.rows) return;
      const int slot = op.to.slots[r];
      if (slot < 0) return;
      const int heads = op.to.kv.numKvHeads, inPage = slot % KVASIR_PAGE_TOKENS;
      const float* from = rows + (wide(r) * wide(heads) + wide(head)) * wide(headDim);
      std::uint8_t* to = rowOf(op.to, slot, head, values, 16 * vectors);
      const std::uint32_t tile = static_cast<std::uint32_t>(slot / KVASIR_PAGE_TOKENS * heads + head);
      const std::int32_t place = hot.places[hot.unitOf(tile * KVASIR_PAGE_TOKENS + static_cast<std::uint32_t>(inPage))];
      std::uint8_t* copy = place > 0 ? hot.rowAt(place - 1, inPage) + (values ? op.to.kv.valueStride : 0) : nullptr;
      for (int v = thread & (lanes - 1); v < vectors; v += lanes) {
        float x[kCount];
        loadFloats<kCount>(cx, from + v * kCount, x);
        const Vec16 stored = pack<Half>(cx, x);
        cx.store16(to + 16 * v, stored);
        if (copy != nullptr) cx.store16(copy + 16 * v, stored);
      }
    });
  }
};

inline int launchWriteTiered(Launcher launcher, const KvasirWriteTieredArgs& args) {
  const KvasirKvView& kv = args.to.kv;
  const char* wrong = wrongTier(kv, args.hot);
  if (wrong != nullptr) return launcher.refuse(std::string("writeTiered: ") + wrong);
  if (args.rows < 0) return launcher.refuse("writeTiered: rows is negative");
  if (args.rows == 0) return KVASIR_GPU_OK;
  const int laneBits = log2Of(lanesOf(static_cast<std::size_t>(storedRowBytes(kv) / 16)));
  Plan plan;
  plan.gridX = boundedGrid(ceilDiv(args.rows, WriteTiered::kThreads >> laneBits), 0);
  plan.gridY = static_cast<unsigned>(2 * kv.numKvHeads);
  return launcher.run<WriteTiered>(plan, {args, laneBits});
}

}  // namespace kvasir::gpu
