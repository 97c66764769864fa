// The pages that one part of a list touches, and which of their rows it names.
#pragma once

#include "attend_list.h"

namespace kvasir::gpu {

constexpr int kMaxPartPages = KVASIR_LONG_SPLIT_TOKENS / KVASIR_PAGE_TOKENS;

struct PageRuns {
  const KvasirKvRun* runs;
  int first, end;             // of the list
  const std::int32_t* pages;  // of the sequence
  const std::uint8_t* base;   // of layer and head
  std::size_t pageStride;
};

template <class Cx, int kWarps>
struct PageListReader {
  template <class T>
  using Shared = typename Cx::template Shared<T>;
  static constexpr int kThreads = kWarps * kWarp;

  struct Regs {
    int sum;  // pages begun by the runs of this thread and all before
    int own;
    KvasirKvRun run;
  };

  // Tokens of what it gives count 16 a page. scratch [kWarps + 1]; tiles, masks [kMaxPartPages]: a bit a row, the first one
  // lowest. Whoever reads them comes behind a barrier.
  static KVASIR_DEVICE ListPart read(Cx& cx, const PageRuns& list, int split, Shared<int> scratch,
                                     Shared<const std::uint8_t*> tiles, Shared<std::uint32_t> masks) {
    typename Cx::template Threads<Regs> regs(cx);
    const int share = ceilDiv(list.end - list.first, kThreads);
    cx.each(regs, [&](int thread, Regs& r) {
      r.own = 0;
      const int from = list.first + thread * share, to = least(list.end, from + share);
      for (int run = from; run < to; ++run) r.own += begins(list, run) ? 1 : 0;
      r.sum = r.own;
      for (int i = thread; i < kMaxPartPages; i += kThreads) masks[i] = 0;
    });
    const int pages = blockScan<kWarps>(cx, regs, &Regs::sum, scratch);
    const ListPart part = partOf(KVASIR_PAGE_TOKENS * pages, split);
    if (part.count == 0) return part;

    // One thread has the run that begins the part's first page.
    const int begin = split * splitTokensOf(part.tokens) / KVASIR_PAGE_TOKENS, count = part.count / KVASIR_PAGE_TOKENS;
    cx.each(regs, [&](int thread, Regs& r) {
      int at = r.sum - r.own;
      if (begin < at || begin >= r.sum) return;
      int run = list.first + thread * share;
      while (!begins(list, run) || at++ < begin) ++run;
      scratch[kWarps] = run;
    });
    cx.barrier();
    const int firstRun = scratch[kWarps];
    // The round after the last page began may have more runs of it.
    for (int run = firstRun, listed = 0; listed <= count && run < list.end; run += kThreads) {
      cx.each(regs, [&](int thread, Regs& r) {
        const bool inside = run + thread < list.end;
        r.run = inside ? list.runs[run + thread] : KvasirKvRun{0, 0, 0};
        r.own = inside && begins(list, run + thread) ? 1 : 0;
        r.sum = r.own;
      });
      const int total = blockScan<kWarps>(cx, regs, &Regs::sum, scratch);
      cx.each(regs, [&](int, Regs& r) {
        const int at = listed + r.sum - 1;
        if (at >= count || r.run.len == 0) return;
        if (r.own == 1) tiles[at] = list.base + static_cast<std::size_t>(list.pages[r.run.page]) * list.pageStride;
        cx.atomicOr(masks + at, ((1u << r.run.len) - 1u) << r.run.first);
      });
      listed += total;
    }
    return part;
  }

 private:
  static KVASIR_DEVICE bool begins(const PageRuns& list, int run) {
    return run == list.first || list.runs[run].page != list.runs[run - 1].page;
  }
};

}  // namespace kvasir::gpu
