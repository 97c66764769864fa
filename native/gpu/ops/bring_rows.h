// A step's rows into slots, in three kernels: lists are counted; their rows looked up, and slots taken by the last block; then
// copies, with enough bytes on their way to fill the link to the host.
// Bound: the bytes of the rows that come up, at the speed of the link; without any, three launches and about six dependent reads.
#pragma once

#include <string>

#include "claim_slots.h"
#include "count_lists.h"
#include "rows.h"

namespace kvasir::gpu {

// A block a list: a thread has a run at a time.
struct FindRows {
  using Args = BringArgs;

  static constexpr int kThreads = 256;
  static constexpr int kWarps = kThreads / kWarp;
  static constexpr int kMinBlocks = 2;
  static constexpr unsigned kSharedBytes = 4 * kWarps + 32;

  struct Regs {
    int sum, at, hits, misses, direct;
    std::uint32_t missed;  // rows of the run, a bit each
    KvasirKvRun run;
  };

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const KvasirBringRowsArgs& op = args.op;
    const BringSpace space = args.space();
    const HotLayer hot(op.hot, op.layer, op.kv.headDim);
    typename Cx::template Threads<Regs> regs(cx);
    auto totals = cx.template shared<int>(kWarps);
    auto word = cx.template shared<std::uint32_t>(1);
    auto stop = cx.template shared<int>(1);

    const int list = cx.blockX(), sequence = list / args.rowsOfSequence;
    const int kvHead = list % args.rowsOfSequence / (args.rowsOfSequence / op.kv.numKvHeads);
    const int first = op.rows.rowStarts[list], end = op.rows.rowStarts[list + 1];
    const int start = op.starts[list], tokens = op.starts[list + 1] - start;
    const std::int32_t* pages = op.pages + op.pageStarts[sequence];
    const bool fits = space.fits[sequence] != 0;
    const std::uint32_t used = hot.state->now | 1;

    cx.each(regs, [&](int, Regs& r) { r.hits = r.misses = r.direct = 0; });
    int listed = 0, missed = 0;
    for (int from = first; from < end && listed < tokens; from += kThreads) {
      cx.each(regs, [&](int thread, Regs& r) {
        r.run = from + thread < end ? op.rows.runs[from + thread] : KvasirKvRun{0, 0, 0};
        r.sum = r.run.len;
      });
      const int total = blockScan<kWarps>(cx, regs, &Regs::sum, totals);
      cx.each(regs, [&](int thread, Regs& r) {
        r.at = listed + r.sum - r.run.len;
        r.missed = 0;
        const int count = least(r.run.len, tokens - r.at);
        if (count > 0) {
          const int run = from + thread;
          const std::uint32_t tile = static_cast<std::uint32_t>(pages[r.run.page]) * static_cast<std::uint32_t>(op.kv.numKvHeads) +
                                     static_cast<std::uint32_t>(kvHead);
          // A block counts once a list, a row each time.
          const bool counts = !hot.blocks || run == first || op.rows.runs[run - 1].page != r.run.page;
          for (int i = 0; i < count; ++i) {
            const int inPage = r.run.first + i;
            const std::uint32_t row = tile * KVASIR_PAGE_TOKENS + static_cast<std::uint32_t>(inPage), unit = hot.unitOf(row);
            const std::int32_t place = cx.loadRelaxed(hot.places + unit);
            const bool counted = counts && (i == 0 || !hot.blocks);
            if (place > 0) {
              cx.storeRelaxed(hot.stamps + place - 1, used);
              op.keys[start + r.at + i] = hot.rowAt(place - 1, inPage);
              r.hits += counted ? 1 : 0;
            } else if (fits) {
              cx.atomicMin(hot.places + unit, kPending + start + r.at + i);
              r.missed |= 1u << i;
              r.misses += counted ? 1 : 0;
            } else {
              op.keys[start + r.at + i] = storedRow(op.kv, op.layer, row);
              ++r.direct;
            }
          }
        }
        r.sum = cx.popcount(r.missed);
      });
      const int missedNow = blockScan<kWarps>(cx, regs, &Regs::sum, totals);
      cx.each(regs, [&](int, Regs& r) {
        int to = start + missed + r.sum - cx.popcount(r.missed);
        for (int i = 0; i < KVASIR_PAGE_TOKENS; ++i) {
          if ((r.missed >> i & 1) == 0) continue;
          const std::uint32_t tile = static_cast<std::uint32_t>(pages[r.run.page]) * static_cast<std::uint32_t>(op.kv.numKvHeads) +
                                     static_cast<std::uint32_t>(kvHead);
          space.missRows[to] = tile * KVASIR_PAGE_TOKENS + static_cast<std::uint32_t>(r.run.first + i);
          space.missAt[to++] = start + r.at + i;
        }
      });
      listed += total;
      missed += missedNow;
    }
    const int hits = blockScan<kWarps>(cx, regs, &Regs::hits, totals), misses = blockScan<kWarps>(cx, regs, &Regs::misses, totals);
    const int direct = blockScan<kWarps>(cx, regs, &Regs::direct, totals);
    cx.each([&](int thread) {
      if (thread != 0) return;
      space.counts[list].hits = hits;
      space.counts[list].misses = misses;
      space.counts[list].missed = missed;
      space.counts[list].direct = direct;
    });
    if (isLastBlock(cx, word, &hot.state->tickets[1], static_cast<std::uint32_t>(cx.gridX()))) {
      ClaimSlots<kThreads>::run(cx, args, hot, totals, stop);
    }
  }
};

// Copies what was taken, and tells where the missed rows lie.
struct FillSlots {
  using Args = BringArgs;

  static constexpr int kThreads = kCopyThreads;
  static constexpr int kMinBlocks = 4;
  static constexpr unsigned kSharedBytes = 0;
  static constexpr int kVectors = 4;  // that a thread has under way: 8 KiB a block
  static constexpr int kBlocks = 64;

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const KvasirBringRowsArgs& op = args.op;
    const BringSpace space = args.space();
    const HotLayer hot(op.hot, op.layer, op.kv.headDim);
    const unsigned partVectors = static_cast<unsigned>(hot.rowBytes / 16 * (hot.blocks ? KVASIR_PAGE_TOKENS : 1));
    const unsigned vectors = static_cast<unsigned>(hot.state->brought) * 2 * partVectors;
    cx.each([&](int thread) {
      constexpr unsigned kChunk = kThreads * kVectors;
      const unsigned step = static_cast<unsigned>(cx.gridX()) * kChunk;
      for (unsigned chunk = static_cast<unsigned>(cx.blockX()) * kChunk; chunk < vectors; chunk += step) {
        Vec16 values[kVectors];
        std::uint8_t* to[kVectors];
        // All loads before the first store: the link to the host is as fast as there is on its way.
        KVASIR_UNROLL
        for (int i = 0; i < kVectors; ++i) {
          const unsigned vector = chunk + static_cast<unsigned>(i * kThreads + thread);
          to[i] = nullptr;
          if (vector >= vectors) continue;
          const unsigned rank = vector / (2 * partVectors), part = vector / partVectors % 2;
          const std::uint32_t row = space.missRows[space.owners[rank]];
          const std::size_t at = part * op.kv.valueStride + 16 * (vector % partVectors);
          values[i] = cx.load16(storedRow(op.kv, op.layer, hot.blocks ? row / KVASIR_PAGE_TOKENS * KVASIR_PAGE_TOKENS : row) + at);
          to[i] = hot.rowAt(hot.taken[rank], 0) + at;
        }
        KVASIR_UNROLL
        for (int i = 0; i < kVectors; ++i) {
          if (to[i] != nullptr) cx.store16(to[i], values[i]);
        }
        // Past the last number that 32 bits hold.
        if (chunk + step < chunk) break;
      }
      for (int list = cx.blockX(); list < args.lists(); list += cx.gridX()) {
        const int start = op.starts[list];
        for (int i = thread; i < space.counts[list].missed; i += kThreads) {
          const std::uint32_t row = space.missRows[start + i];
          const std::int32_t place = hot.places[hot.unitOf(row)];
          op.keys[space.missAt[start + i]] =
              place > 0 ? hot.rowAt(place - 1, static_cast<int>(row % KVASIR_PAGE_TOKENS)) : storedRow(op.kv, op.layer, row);
        }
      }
    });
  }
};

inline int launchBringRows(Launcher launcher, const KvasirBringRowsArgs& op) {
  const KvasirKvView& kv = op.kv;
  const char* wrong = wrongTier(kv, op.hot);
  if (wrong != nullptr) return launcher.refuse(std::string("bringRows: ") + wrong);
  if (op.numSequences < 0 || op.maxTokens < 0) return launcher.refuse("bringRows: numSequences and maxTokens must not be negative");
  if (op.numHeads < 1 || op.numHeads % kv.numKvHeads != 0) return launcher.refuse("bringRows: numHeads must be a multiple of numKvHeads");
  const BringArgs args = {op, op.rows.perQueryHead != 0 ? op.numHeads : kv.numKvHeads};
  const std::int64_t lists = std::int64_t{op.numSequences} * args.rowsOfSequence;
  if (lists * most(op.maxTokens, 1) > 0x7fffffff) return launcher.refuse("bringRows: lists have too many rows");
  const std::size_t needed = kvasirBringRowsWorkspaceBytes(static_cast<std::int32_t>(lists), op.numSequences, op.maxTokens);
  if (op.workspaceBytes < needed) {
    return launcher.refuse("bringRows: the workspace has " + std::to_string(op.workspaceBytes) + " bytes, needed are " + std::to_string(needed));
  }
  if (lists == 0) return KVASIR_GPU_OK;

  Plan plan;
  plan.gridX = static_cast<unsigned>(lists);
  plan.sharedBytes = CountLists::kSharedBytes;
  int status = launcher.run<CountLists>(plan, args);
  if (status != KVASIR_GPU_OK) return status;
  plan.sharedBytes = FindRows::kSharedBytes;
  status = launcher.run<FindRows>(plan, args);
  if (status != KVASIR_GPU_OK) return status;
  const std::int64_t units = least(lists * op.maxTokens, std::int64_t{op.hot.numSlots});
  const std::int64_t vectors = units * static_cast<std::int64_t>(kvasirHotLayerBytes(1, 1, kv.headDim) / 16) / (op.hot.blocks != 0 ? 1 : KVASIR_PAGE_TOKENS);
  const std::int64_t blocks = most(lists, ceilDiv(vectors, std::int64_t{FillSlots::kThreads * FillSlots::kVectors}));
  plan.gridX = boundedGrid(blocks, op.maxBlocks > 0 ? op.maxBlocks : FillSlots::kBlocks);
  plan.sharedBytes = 0;
  return launcher.run<FillSlots>(plan, args);
}

}  // namespace kvasir::gpu
