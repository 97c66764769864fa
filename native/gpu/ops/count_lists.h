// How long lists are, where their addresses go, and which sequences fit into the slots. A block a list; the last one sums up.
#pragma once

#include "bring_space.h"

namespace kvasir::gpu {

struct CountLists {
  using Args = BringArgs;

  static constexpr int kThreads = 256;
  static constexpr int kWarps = kThreads / kWarp;
  static constexpr int kMinBlocks = 4;
  static constexpr unsigned kSharedBytes = 4 * kWarps + 16;

  struct Regs {
    int tokens, units;
  };

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const KvasirBringRowsArgs& op = args.op;
    const BringSpace space = args.space();
    KvasirHotState* state = op.hot.state + op.layer;
    typename Cx::template Threads<Regs> regs(cx);
    auto totals = cx.template shared<int>(kWarps);
    auto word = cx.template shared<std::uint32_t>(1);
    const int list = cx.blockX(), lists = args.lists();
    const int first = op.rows.rowStarts[list], end = op.rows.rowStarts[list + 1];
    cx.each(regs, [&](int thread, Regs& r) {
      r.tokens = r.units = 0;
      for (int run = first + thread; run < end; run += kThreads) {
        r.tokens += op.rows.runs[run].len;
        r.units += run == first || op.rows.runs[run - 1].page != op.rows.runs[run].page ? 1 : 0;
      }
    });
    const int tokens = least(blockScan<kWarps>(cx, regs, &Regs::tokens, totals), op.maxTokens);
    const int units = blockScan<kWarps>(cx, regs, &Regs::units, totals);
    cx.each([&](int thread) {
      if (thread == 0) space.counts[list] = {tokens, op.hot.blocks != 0 ? units : tokens, 0, 0, 0, 0};
    });
    if (!isLastBlock(cx, word, &state->tickets[0], static_cast<std::uint32_t>(cx.gridX()))) return;

    int before = 0;
    for (int from = 0; from < lists; from += kThreads) {
      cx.each(regs, [&](int thread, Regs& r) { r.tokens = from + thread < lists ? space.counts[from + thread].tokens : 0; });
      const int total = blockScan<kWarps>(cx, regs, &Regs::tokens, totals);
      cx.each(regs, [&](int thread, Regs& r) {
        if (from + thread < lists) op.starts[from + thread + 1] = before + r.tokens;
      });
      before += total;
    }
    cx.each([&](int thread) {
      if (thread == 0) {
        op.starts[0] = 0;
        state->now += 2;
      }
      for (int sequence = thread; sequence < op.numSequences; sequence += kThreads) {
        std::int64_t wanted = 0;
        for (int i = 0; i < args.rowsOfSequence; ++i) wanted += space.counts[sequence * args.rowsOfSequence + i].units;
        space.fits[sequence] = wanted <= op.hot.numSlots ? 1 : 0;
      }
    });
  }
};

}  // namespace kvasir::gpu
