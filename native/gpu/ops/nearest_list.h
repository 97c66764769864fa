// The nearest rows so far of a few queries of a warp, in shared memory: a number a row, its distance above its index, so that
// the order of numbers is that of rows. What is offered gathers behind the best until room runs out; then all are sorted.
#pragma once

#include "../context/vocabulary.h"

namespace kvasir::gpu {

// kSlots, a power of two, holds the best of a query and at least what one call of offer() may add: 64.
template <int kQueries, int kSlots>
struct NearestLists {
  static constexpr std::uint64_t kNone = ~std::uint64_t{0} >> 1;
  static constexpr std::uint32_t kFar = 0xffffffffu;
  static constexpr int kOffered = 2;  // rows of a lane
  static constexpr int kRoom = kOffered * kWarp;

  struct Regs {
    std::uint32_t distance[kQueries][kOffered];
    std::uint32_t index[kOffered];
    std::uint32_t limit[kQueries];  // only lower distances change anything
    int held[kQueries];             // behind the best
    std::uint32_t word, full;
  };

  template <class Cx, class Lists>
  static KVASIR_DEVICE void clear(Cx& cx, typename Cx::template Threads<Regs>& regs, Lists lists, int maxDistance) {
    cx.each(regs, [&](int thread, Regs& r) {
      for (int i = thread % kWarp; i < kQueries * kSlots; i += kWarp) lists[i] = kNone;
      KVASIR_UNROLL
      for (int q = 0; q < kQueries; ++q) {
        r.limit[q] = least(static_cast<std::uint32_t>(maxDistance), 0x7ffffffeu) + 1;
        r.held[q] = 0;
      }
    });
    cx.syncWarp();
  }

  // The rows of all lanes. Rows offered later have the higher indices.
  template <class Cx, class Lists>
  static KVASIR_DEVICE void offer(Cx& cx, typename Cx::template Threads<Regs>& regs, Lists lists, int count) {
    cx.ballot(regs, [](int, const Regs& r) {
      bool any = false;
      KVASIR_UNROLL
      for (int i = 0; i < kQueries * kOffered; ++i) any = any || r.distance[i / kOffered][i % kOffered] < r.limit[i / kOffered];
      return any;
    }, &Regs::word);
    if (cx.uniform(regs, &Regs::word) == 0) return;
    KVASIR_UNROLL
    for (int i = 0; i < kQueries * kOffered; ++i) {
      const int q = i / kOffered, row = i % kOffered;
      cx.ballot(regs, [q, row](int, const Regs& r) { return r.distance[q][row] < r.limit[q]; }, &Regs::word);
      cx.each(regs, [&](int thread, Regs& r) {
        const std::uint32_t bit = 1u << thread % kWarp;
        if (r.word & bit) {
          const int place = count + r.held[q] + cx.popcount(r.word & (bit - 1));
          lists[q * kSlots + place] = static_cast<std::uint64_t>(r.distance[q][row]) << 32 | r.index[row];
        }
        r.held[q] += cx.popcount(r.word);
      });
    }
    settle(cx, regs, lists, count, kSlots - count - kRoom);
  }

  // Sorts the lists that hold more than `most` behind their best.
  template <class Cx, class Lists>
  static KVASIR_DEVICE void settle(Cx& cx, typename Cx::template Threads<Regs>& regs, Lists lists, int count, int most) {
    cx.each(regs, [&](int, Regs& r) {
      r.full = 0;
      KVASIR_UNROLL
      for (int q = 0; q < kQueries; ++q) r.full |= (r.held[q] > most ? 1u : 0u) << q;
    });
    cx.syncWarp();
    const std::uint32_t full = cx.uniform(regs, &Regs::full);
    // Unrolled, since registers have no addresses.
    KVASIR_UNROLL
    for (int q = 0; q < kQueries; ++q) {
      if ((full >> q & 1) == 0) continue;
      const auto list = lists + q * kSlots;
      sort(cx, regs, list);
      cx.each(regs, [&](int thread, Regs& r) {
        const std::uint64_t last = list[count - 1];
        r.limit[q] = least(r.limit[q], static_cast<std::uint32_t>(last >> 32));
        r.held[q] = 0;
        for (int i = count + thread % kWarp; i < kSlots; i += kWarp) list[i] = kNone;
      });
      cx.syncWarp();
    }
  }

 private:
  // Batcher's bitonic network.
  template <class Cx, class List>
  static KVASIR_DEVICE void sort(Cx& cx, typename Cx::template Threads<Regs>& regs, List list) {
    for (int run = 2; run <= kSlots; run *= 2) {
      for (int stride = run / 2; stride > 0; stride /= 2) {
        cx.each(regs, [&](int thread, Regs&) {
          for (int pair = thread % kWarp; pair < kSlots / 2; pair += kWarp) {
            const int low = (pair & ~(stride - 1)) << 1 | (pair & (stride - 1));
            const std::uint64_t a = list[low], b = list[low + stride];
            if ((a > b) == ((low & run) == 0)) {
              list[low] = b;
              list[low + stride] = a;
            }
          }
        });
        cx.syncWarp();
      }
    }
  }
};

}  // namespace kvasir::gpu
