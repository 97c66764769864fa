// The rows that one part of a list holds: which, and where they lie.
#pragma once

#include "../args/attend_runs.h"
#include "../context/vocabulary.h"

namespace kvasir::gpu {

// A list cut into parts of its own.
struct ListPart {
  int tokens;  // of the list
  int splits;  // parts of the list
  int count;   // tokens of this part, 0 where there is no such part
};

KVASIR_BOTH int splitTokensOf(int tokens) {
  return tokens > KVASIR_LONG_LIST_TOKENS ? KVASIR_LONG_SPLIT_TOKENS : KVASIR_SPLIT_TOKENS;
}

KVASIR_BOTH ListPart partOf(int tokens, int split) {
  const int length = splitTokensOf(tokens);
  return {tokens, ceilDiv(tokens, length), most(0, least(length, tokens - split * length))};
}

// Where the K rows of a list lie: addresses, or runs of pages.
struct ListRows {
  const std::uint8_t* const* keys;  // or null
  const KvasirKvRun* runs;
  int first, end;              // addresses or runs of the list
  const std::int32_t* pages;   // of the sequence
  const std::uint8_t* base;    // of layer and head
  std::size_t pageStride;
  int rowBytes;
};

// A register summed over this thread and those before it; gives its sum over the block. totals [kWarps].
template <int kWarps, class Cx, class Threads, class Access>
KVASIR_DEVICE int blockScan(Cx& cx, Threads& regs, const Access& access, typename Cx::template Shared<int> totals) {
  cx.warpScan(regs, access);
  cx.each(regs, [&](int thread, auto& r) {
    if (thread % kWarp == kWarp - 1) totals[thread / kWarp] = field(r, access);
  });
  cx.barrier();
  cx.each(regs, [&](int thread, auto& r) {
    for (int warp = 0; warp < thread / kWarp; ++warp) field(r, access) += totals[warp];
  });
  int total = 0;
  for (int warp = 0; warp < kWarps; ++warp) total += totals[warp];
  cx.barrier();
  return total;
}

template <class Cx, int kWarps>
struct ListReader {
  template <class T>
  using Shared = typename Cx::template Shared<T>;
  static constexpr int kThreads = kWarps * kWarp;

  struct Regs {
    int sum;  // tokens, of this thread's and all runs before
    int own;
    KvasirKvRun run;
  };

  // scratch [kWarps + 2] holds nothing between calls. addresses [KVASIR_LONG_SPLIT_TOKENS] get the part's K rows; whoever
  // reads them comes behind a barrier.
  static KVASIR_DEVICE ListPart read(Cx& cx, const ListRows& list, int split, Shared<int> scratch,
                                     Shared<const std::uint8_t*> addresses) {
    if (list.keys != nullptr) {
      const ListPart part = partOf(list.end - list.first, split);
      const std::uint8_t* const* keys = list.keys + list.first + split * splitTokensOf(part.tokens);
      cx.each([&](int thread) {
        for (int i = thread; i < part.count; i += kThreads) addresses[i] = keys[i];
      });
      return part;
    }

    typename Cx::template Threads<Regs> regs(cx);
    const int share = ceilDiv(list.end - list.first, kThreads);
    cx.each(regs, [&](int thread, Regs& r) {
      r.own = 0;
      const int from = list.first + thread * share, to = least(list.end, from + share);
      for (int run = from; run < to; ++run) r.own += list.runs[run].len;
      r.sum = r.own;
    });
    const int tokens = blockScan<kWarps>(cx, regs, &Regs::sum, scratch);
    const ListPart part = partOf(tokens, split);
    if (part.count == 0) return part;

    // One thread has the run that the part begins in.
    auto place = scratch + kWarps;
    const int begin = split * splitTokensOf(tokens);
    cx.each(regs, [&](int thread, Regs& r) {
      int at = r.sum - r.own;
      if (begin < at || begin >= r.sum) return;
      int run = list.first + thread * share;
      while (at + list.runs[run].len <= begin) at += list.runs[run++].len;
      place[0] = run;
      place[1] = begin - at;
    });
    cx.barrier();
    const int firstRun = place[0], skip = place[1];
    for (int run = firstRun, listed = -skip; listed < part.count && run < list.end; run += kThreads) {
      cx.each(regs, [&](int thread, Regs& r) {
        r.run = run + thread < list.end ? list.runs[run + thread] : KvasirKvRun{0, 0, 0};
        r.sum = r.run.len;
      });
      const int total = blockScan<kWarps>(cx, regs, &Regs::sum, scratch);
      cx.each(regs, [&](int, Regs& r) {
        const int at = listed + r.sum - r.run.len;
        const int from = most(0, -at), to = least(r.run.len, part.count - at);
        if (from >= to) return;
        const std::uint8_t* row = list.base + static_cast<std::size_t>(list.pages[r.run.page]) * list.pageStride +
                                  static_cast<std::size_t>((r.run.first + from) * list.rowBytes);
        for (int i = from; i < to; ++i, row += list.rowBytes) addresses[at + i] = row;
      });
      listed += total;
    }
    return part;
  }
};

}  // namespace kvasir::gpu
