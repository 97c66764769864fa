// Slots for the units that a call of bringRows lacks, by one block: empty ones from the hand on, then those without a second
// chance, as SlotCache::take of native/tier does one by one.
#pragma once

#include "bring_space.h"

namespace kvasir::gpu {

template <int kThreads>
struct ClaimSlots {
  static constexpr int kWarps = kThreads / kWarp;
  static constexpr int kShare = 4;   // misses that a thread looks at in one go
  static constexpr int kStretch = 8;  // slots

  struct Regs {
    int sum;
    std::uint32_t bits;
    int at[kShare];
  };

  // What a miss, counted over all lists, is in its list's stretch.
  static KVASIR_DEVICE int placeOf(const BringArgs& args, const BringSpace& space, int miss) {
    int low = 0, high = args.lists();
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      if (space.missStarts[middle] <= miss) low = middle;
      else high = middle;
    }
    return args.op.starts[low] + miss - space.missStarts[low];
  }

  template <class Cx, class Words>
  static KVASIR_DEVICE void run(Cx& cx, const BringArgs& args, const HotLayer& hot, Words totals, Words stop) {
    typename Cx::template Threads<Regs> regs(cx);
    const BringSpace space = args.space();
    const int lists = args.lists();
    KvasirHotState* state = hot.state;

    const auto sumOver = [&](int ListCounts::*count, std::int32_t* starts) {
      int before = 0;
      for (int from = 0; from < lists; from += kThreads) {
        cx.each(regs, [&](int thread, Regs& r) { r.sum = from + thread < lists ? space.counts[from + thread].*count : 0; });
        const int total = blockScan<kWarps>(cx, regs, &Regs::sum, totals);
        cx.each(regs, [&](int thread, Regs& r) {
          if (starts != nullptr && from + thread < lists) starts[from + thread + 1] = before + r.sum;
        });
        before += total;
      }
      return before;
    };
    cx.each([&](int thread) {
      if (thread == 0) space.missStarts[0] = 0;
    });
    const int missed = sumOver(&ListCounts::missed, space.missStarts);
    const int hits = sumOver(&ListCounts::hits, nullptr), misses = sumOver(&ListCounts::misses, nullptr);
    int direct = sumOver(&ListCounts::direct, nullptr);
    cx.barrier();

    int wanted = 0;
    for (int from = 0; from < missed; from += kThreads * kShare) {
      cx.each(regs, [&](int thread, Regs& r) {
        r.bits = 0;
        for (int i = 0; i < kShare; ++i) {
          const int miss = from + thread * kShare + i;
          if (miss >= missed) break;
          r.at[i] = placeOf(args, space, miss);
          if (hot.places[hot.unitOf(space.missRows[r.at[i]])] == kPending + space.missAt[r.at[i]]) r.bits |= 1u << i;
        }
        r.sum = cx.popcount(r.bits);
      });
      const int total = blockScan<kWarps>(cx, regs, &Regs::sum, totals);
      cx.each(regs, [&](int, Regs& r) {
        int rank = wanted + r.sum - cx.popcount(r.bits);
        for (int i = 0; i < kShare; ++i) {
          if ((r.bits >> i & 1) != 0) space.owners[rank++] = r.at[i];
        }
      });
      wanted += total;
    }

    const int filled = state->filled, size = hot.numSlots;
    const std::uint32_t now = state->now;
    int hand = state->hand, took = 0, behindLast = hand;
    cx.barrier();
    // From the hand on until `most` slots are taken, at most once round; passed ones lose their second chance.
    const auto pass = [&](int mostTaken, bool empties) {
      const int length = least(size, kThreads * kStretch);
      const auto slotAt = [&](int offset) { return hand + offset < size ? hand + offset : hand + offset - size; };
      cx.each(regs, [&](int thread, Regs& r) {
        r.bits = 0;
        for (int i = 0; i < kStretch; ++i) {
          const int offset = thread * kStretch + i;
          if (offset >= length) break;
          const int slot = slotAt(offset);
          const std::uint32_t stamp = hot.stamps[slot];
          const bool free = empties ? hot.units[slot] == 0 : (stamp & 1) == 0 && stamp != now;
          if (free) r.bits |= 1u << i;
        }
        r.sum = cx.popcount(r.bits);
      });
      const int total = blockScan<kWarps>(cx, regs, &Regs::sum, totals);
      cx.each(regs, [&](int thread, Regs& r) {
        int rank = r.sum - cx.popcount(r.bits);
        for (int i = 0; i < kStretch; ++i) {
          if ((r.bits >> i & 1) == 0) continue;
          const int offset = thread * kStretch + i;
          if (rank < mostTaken) {
            hot.taken[took + rank] = slotAt(offset);
            hot.stamps[slotAt(offset)] = now;
          }
          if (rank == least(mostTaken, total) - 1) stop[0] = offset + 1;
          ++rank;
        }
        if (thread == 0 && total == 0) stop[0] = 0;
      });
      cx.barrier();
      const int last = stop[0], passed = total < mostTaken ? length : last;
      cx.each([&](int thread) {
        for (int i = 0; i < kStretch && !empties; ++i) {
          const int offset = thread * kStretch + i;
          if (offset >= passed) break;
          const std::uint32_t stamp = hot.stamps[slotAt(offset)];
          if ((stamp & ~1u) != now) hot.stamps[slotAt(offset)] = stamp & ~1u;
        }
      });
      cx.barrier();
      if (total > 0) behindLast = slotAt(last);
      hand = slotAt(passed);
      took += least(total, mostTaken);
      return passed;
    };
    const int empties = least(wanted, size - filled);
    while (took < empties) pass(empties - took, true);
    // Twice round the hand has met every slot that may go.
    for (int met = 0; took < wanted && met < 2 * size;) met += pass(wanted - took, false);
    if (took < wanted) hand = behindLast;

    cx.each([&](int thread) {
      for (int rank = thread; rank < wanted; rank += kThreads) {
        const std::uint32_t unit = hot.unitOf(space.missRows[space.owners[rank]]);
        if (rank >= took) {
          hot.places[unit] = 0;
          continue;
        }
        const int slot = hot.taken[rank];
        if (hot.units[slot] != 0) hot.places[hot.units[slot] - 1] = 0;
        hot.units[slot] = unit + 1;
        hot.places[unit] = slot + 1;
      }
    });
    cx.barrier();
    if (took < wanted) {
      cx.each(regs, [&](int thread, Regs& r) {
        r.sum = 0;
        for (int miss = thread; miss < missed; miss += kThreads) {
          if (hot.places[hot.unitOf(space.missRows[placeOf(args, space, miss)])] == 0) ++r.sum;
        }
      });
      direct += blockScan<kWarps>(cx, regs, &Regs::sum, totals);
    }
    cx.each([&](int thread) {
      if (thread != 0) return;
      state->hits += static_cast<std::uint64_t>(hits);
      state->misses += static_cast<std::uint64_t>(misses);
      state->movedRows += static_cast<std::uint64_t>(took) * (hot.blocks ? KVASIR_PAGE_TOKENS : 1) + static_cast<std::uint64_t>(direct);
      state->overflows += direct > 0 ? 1 : 0;
      state->keysRead += state->keysReadSince;
      state->keysReadSince = 0;
      state->hand = hand;
      state->filled = filled + empties;
      state->brought = took;
    });
  }
};

}  // namespace kvasir::gpu
