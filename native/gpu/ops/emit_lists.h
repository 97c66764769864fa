// What cuts leave, in the order of positions: as tokens, or with the visible rows as runs.
#pragma once

#include "cut_rows.h"

namespace kvasir::gpu {

constexpr int kEmitThreads = 512;

// Numbers the entries 0 to count - 1 of a row for which holds(i): put(i, place) is told of each; gives how many there are.
struct EmitRegs {
  std::int32_t holds, sum;
};
template <class Cx, class Threads, class Sums, class Holds, class Put>
KVASIR_DEVICE std::int32_t numberEntries(Cx& cx, Threads& regs, const Sums& sums, int count, const Holds& holds, const Put& put) {
  constexpr int kWarps = kEmitThreads / kWarp;
  std::int32_t before = 0;
  for (int from = 0; from < count; from += kEmitThreads) {
    cx.each(regs, [&](int thread, EmitRegs& r) { r.sum = r.holds = from + thread < count && holds(from + thread) ? 1 : 0; });
    cx.warpScan(regs, &EmitRegs::sum);
    cx.each(regs, [&](int thread, EmitRegs& r) {
      if (thread % kWarp == kWarp - 1) sums[thread / kWarp] = r.sum;
    });
    cx.barrier();
    cx.each(regs, [&](int thread, EmitRegs& r) {
      int place = before + r.sum - 1;
      for (int warp = 0; warp < thread / kWarp; ++warp) place += sums[warp];
      if (r.holds != 0) put(from + thread, place);
    });
    for (int warp = 0; warp < kWarps; ++warp) before += sums[warp];
    cx.barrier();
  }
  return before;
}

// The kept tokens of each row. A block a row.
struct EmitTokens {
  struct Args {
    CutLists lists;
    std::int32_t* kept;  // [sets][rows][keptStride]
    std::size_t keptStride;
    std::int32_t* keptCounts;  // [sets][rows]
  };

  static constexpr int kThreads = kEmitThreads;
  static constexpr int kMinBlocks = 2;
  static constexpr unsigned kSharedBytes = 4 * (kThreads / kWarp);

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    typename Cx::template Threads<EmitRegs> regs(cx);
    auto sums = cx.template shared<std::int32_t>(kThreads / kWarp);
    const CutLists& lists = args.lists;
    const int row = cx.blockX();
    const std::size_t first = wide(row) * lists.stride;
    const std::uint64_t cut = lists.cuts[row];
    const std::int32_t kept = numberEntries(
        cx, regs, sums, lists.counts[row],
        [&](int i) {
          const std::int32_t key = keyAt(cx, lists.values, first + wide(i));
          return key >= 0 && rankOf(key, tokenAt(lists.tokens, first, i), lists.tokenBits) >= cut;
        },
        [&](int i, int place) { args.kept[wide(row) * args.keptStride + wide(place)] = tokenAt(lists.tokens, first, i); });
    cx.each([&](int thread) {
      if (thread == 0) args.keptCounts[row] = kept;
    });
  }
};

// Cuts of all sets, a block a set.
struct CutSets {
  using Args = CutLists;

  static constexpr int kThreads = kCutThreads;
  static constexpr int kMinBlocks = 1;
  static constexpr unsigned kSharedBytes = FindCuts::kSharedBytes;

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    typename Cx::template Threads<FindCuts::Regs> regs(cx);
    const auto at = FindCuts::carve(cx);
    FindCuts::run(cx, regs, at, args, cx.blockX());
  }
};

inline int bitsOf(int below) {
  int bits = 1;
  while (bits < 31 && (1 << bits) < below) ++bits;
  return bits;
}

inline int launchCutRows(Launcher launcher, const KvasirCutRowsArgs& args) {
  if (args.sets < 0 || args.rows < 0 || args.stride < 0) return launcher.refuse("cutRows: a count is negative");
  if (args.rows > KVASIR_CUT_MAX_ROWS) return launcher.refuse("cutRows: at most 40 rows share a budget");
  if (args.maxTokens < 1 || args.maxTokens > 1 << 24) return launcher.refuse("cutRows: maxTokens must be 1 to 16777216");
  if (args.tokens == nullptr && args.stride > args.maxTokens) return launcher.refuse("cutRows: rows without tokens are longer than maxTokens");
  if (args.sets == 0 || args.rows == 0) return KVASIR_GPU_OK;
  const CutLists lists = {args.values, args.tokens, args.counts, static_cast<std::size_t>(args.stride), args.wanted, 1, args.rows,
                          args.joint, bitsOf(args.maxTokens), args.workspace};
  const int status = launcher.run<CutSets>({static_cast<unsigned>(args.sets), 1, CutSets::kSharedBytes}, lists);
  if (status != KVASIR_GPU_OK) return status;
  return launcher.run<EmitTokens>({static_cast<unsigned>(args.sets * args.rows), 1, EmitTokens::kSharedBytes},
                                  {lists, args.kept, static_cast<std::size_t>(args.stride), args.keptCounts});
}

}  // namespace kvasir::gpu
