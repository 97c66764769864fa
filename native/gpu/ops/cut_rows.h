// Which values a budget keeps: a radix selection in shared memory, of each row's own share and of what all rows share, at once.
#pragma once

#include "../args/cut_rows.h"
#include "../context/launcher.h"

namespace kvasir::gpu {

// Lists of values of some sets of rows, and how they are cut.
struct CutLists {
  const float* values;          // [sets][rows][stride]
  const std::int32_t* tokens;   // the same, or null: the place of a value
  const std::int32_t* counts;   // [sets][rows]
  std::size_t stride;
  const std::int32_t* wanted;   // of row r of all sets at r * wantedStride
  std::int32_t wantedStride;
  std::int32_t rows;
  std::int32_t joint;
  std::int32_t tokenBits;  // tokens are below 2^tokenBits
  std::uint64_t* cuts;     // [sets][rows] what is kept has a rank of at least this
};

// Orders values as the budget does: the larger value first, then the lower token. What must not be kept is negative.
KVASIR_BOTH std::uint64_t rankOf(std::int32_t key, std::int32_t token, int tokenBits) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(key)) << tokenBits |
         (((std::uint64_t{1} << tokenBits) - 1) - static_cast<std::uint32_t>(token));
}

template <class Cx>
KVASIR_DEVICE std::int32_t keyAt(Cx& cx, const float* values, std::size_t at) {
  return static_cast<std::int32_t>(cx.asBits(values[at]));
}

KVASIR_DEVICE std::int32_t tokenAt(const std::int32_t* tokens, std::size_t row, int i) {
  return tokens == nullptr ? i : tokens[row + wide(i)];
}

constexpr int kCutBins = 256;
constexpr int kCutThreads = 1024;

// The threads of one block find the cuts of one set. Eight bits of the rank a turn, from the first one in which values
// differ; done when a bin ends where a share ends, after two or three turns unless values are equal. Counts are integers, so
// the order of adds does not matter.
struct FindCuts {
  static constexpr int kRows = KVASIR_CUT_MAX_ROWS;
  static constexpr unsigned kSharedBytes = 4 * (2 * kRows * kCutBins + 4 * kRows + 16) + 8 * (2 * kRows + 4);

  struct Regs {
    std::int32_t low, high, counts[kCutBins / kWarp], sum;
  };

  template <class Cx>
  struct Shared {
    typename Cx::template Shared<std::int32_t> bins;      // [2][rows][256] own and common, then counts from a bin on
    typename Cx::template Shared<std::int32_t> shares;    // [rows]
    typename Cx::template Shared<std::int32_t> all;       // [rows] candidates
    typename Cx::template Shared<std::int32_t> ownAbove;  // [rows] values of larger prefixes; -1 once the cut is found
    typename Cx::template Shared<std::int32_t> above;     // [rows] the same of the common prefix
    typename Cx::template Shared<std::int32_t> words;     // see Word
    typename Cx::template Shared<std::uint64_t> own;      // [rows] prefixes, then cuts
    typename Cx::template Shared<std::uint64_t> cut;      // [rows] cuts by what all rows share
    typename Cx::template Shared<std::uint64_t> common;   // [0] the prefix
  };
  enum Word { kLow, kHigh, kRest, kBin, kLeft, kExact, kPending, kWords };

  template <class Cx>
  static KVASIR_DEVICE Shared<Cx> carve(Cx& cx) {
    Shared<Cx> at;
    at.bins = cx.template shared<std::int32_t>(2 * kRows * kCutBins);
    at.shares = cx.template shared<std::int32_t>(kRows);
    at.all = cx.template shared<std::int32_t>(kRows);
    at.ownAbove = cx.template shared<std::int32_t>(kRows);
    at.above = cx.template shared<std::int32_t>(kRows);
    at.words = cx.template shared<std::int32_t>(8);
    at.own = cx.template shared<std::uint64_t>(kRows);
    at.cut = cx.template shared<std::uint64_t>(kRows);
    at.common = cx.template shared<std::uint64_t>(1);
    return at;
  }

  template <class Cx, class Threads>
  static KVASIR_DEVICE void run(Cx& cx, Threads& regs, const Shared<Cx>& at, const CutLists& lists, int set) {
    const int rows = lists.rows, firstRow = set * rows;
    start(cx, regs, at, lists, firstRow);
    const std::int32_t low = at.words[kLow], high = at.words[kHigh];
    const std::uint64_t lowest = static_cast<std::uint64_t>(low) << lists.tokenBits;
    int before = lists.tokenBits + (high > low ? kWarp - cx.leadingZeros(static_cast<std::uint32_t>(high) - static_cast<std::uint32_t>(low)) : 0);
    while (at.words[kPending] != 0) {
      const int shift = most(0, before - 8);
      cx.barrier();
      count(cx, at, lists, firstRow, lowest, before, shift);
      advance(cx, regs, at, lists, before, shift);
      before = shift;
    }
    cx.each([&](int thread) {
      if (thread < rows) lists.cuts[firstRow + thread] = lowest + least<std::uint64_t>(at.own[thread], at.cut[thread]);
    });
    cx.barrier();
  }

 private:
  static constexpr std::uint64_t kNothing = ~std::uint64_t{0} >> 1;

  template <class Cx, class Threads>
  static KVASIR_DEVICE void start(Cx& cx, Threads& regs, const Shared<Cx>& at, const CutLists& lists, int firstRow) {
    const int rows = lists.rows;
    cx.each([&](int thread) {
      if (thread < rows) at.all[thread] = 0;
      if (thread == 0) {
        at.words[kLow] = 0x7fffffff;
        at.words[kHigh] = 0;
      }
    });
    cx.barrier();
    for (int row = 0; row < rows; ++row) {
      const std::size_t first = wide(firstRow + row) * lists.stride;
      const int count = lists.counts[firstRow + row];
      cx.each(regs, [&](int thread, Regs& r) {
        if (row == 0) {
          r.low = 0x7fffffff;
          r.high = 0;
        }
        int candidates = 0;
        for (int i = thread; i < count; i += kCutThreads) {
          const std::int32_t key = keyAt(cx, lists.values, first + wide(i));
          if (key < 0) continue;
          ++candidates;
          r.low = least(r.low, key);
          r.high = most(r.high, key);
        }
        r.sum = candidates;
      });
      cx.warpSum(regs, &Regs::sum);
      cx.each(regs, [&](int thread, Regs& r) {
        if (thread % kWarp == 0 && r.sum > 0) cx.atomicAdd(at.all + row, r.sum);
      });
    }
    cx.warpMin(regs, &Regs::low);
    cx.warpMax(regs, &Regs::high);
    cx.each(regs, [&](int thread, Regs& r) {
      if (thread % kWarp != 0) return;
      cx.atomicMin(at.words + kLow, r.low);
      cx.atomicMax(at.words + kHigh, r.high);
    });
    cx.barrier();
    cx.each([&](int thread) {
      if (thread >= rows) return;
      const std::int32_t wanted = lists.wanted[wide(firstRow + thread) * wide(lists.wantedStride)];
      const std::int32_t share = least(lists.joint != 0 ? wanted / 4 : wanted, static_cast<std::int32_t>(at.all[thread]));
      at.shares[thread] = share;
      at.above[thread] = 0;
      at.ownAbove[thread] = share > 0 ? 0 : -1;
      at.own[thread] = share > 0 ? std::uint64_t{0} : kNothing;
      at.cut[thread] = kNothing;
    });
    cx.barrier();
    cx.each([&](int thread) {
      if (thread != 0) return;
      int wanted = 0, all = 0, taken = 0;
      for (int row = 0; row < rows; ++row) {
        wanted += lists.wanted[wide(firstRow + row) * wide(lists.wantedStride)];
        all += at.all[row];
        taken += at.shares[row];
      }
      const int rest = lists.joint != 0 ? least(wanted, all) - taken : 0;
      at.words[kRest] = rest;
      at.words[kPending] = rest > 0 || taken > 0 ? 1 : 0;
      at.common[0] = 0;
    });
    cx.barrier();
  }

  // How many values of each row, of those that share a prefix, have each of the next bits.
  template <class Cx>
  static KVASIR_DEVICE void count(Cx& cx, const Shared<Cx>& at, const CutLists& lists, int firstRow, std::uint64_t lowest,
                                  int before, int shift) {
    const int rows = lists.rows, common = rows * kCutBins;
    cx.each([&](int thread) {
      for (int i = thread; i < 2 * common; i += kCutThreads) at.bins[i] = 0;
    });
    cx.barrier();
    const bool shared = at.words[kRest] > 0;
    const std::uint64_t commonPrefix = at.common[0];
    for (int row = 0; row < rows; ++row) {
      const std::size_t first = wide(firstRow + row) * lists.stride;
      const int numValues = lists.counts[firstRow + row];
      const bool alone = at.ownAbove[row] >= 0;
      const std::uint64_t ownPrefix = at.own[row];
      cx.each([&](int thread) {
        for (int i = thread; i < numValues; i += kCutThreads) {
          const std::int32_t key = keyAt(cx, lists.values, first + wide(i));
          if (key < 0) continue;
          const std::uint64_t rank = rankOf(key, tokenAt(lists.tokens, first, i), lists.tokenBits) - lowest, prefix = rank >> before;
          const int bin = static_cast<int>(rank >> shift) & ((1 << (before - shift)) - 1);
          if (alone && prefix == ownPrefix) cx.atomicAdd(at.bins + row * kCutBins + bin, std::int32_t{1});
          if (shared && prefix == commonPrefix) cx.atomicAdd(at.bins + common + row * kCutBins + bin, std::int32_t{1});
        }
      });
    }
    cx.barrier();
  }

  // Chooses the next bits of all prefixes; at the last ones, or where a bin ends as a share does, the cuts are found.
  template <class Cx, class Threads>
  static KVASIR_DEVICE void advance(Cx& cx, Threads& regs, const Shared<Cx>& at, const CutLists& lists, int before, int shift) {
    constexpr int kPerLane = kCutBins / kWarp, kWarps = kCutThreads / kWarp;
    const int rows = lists.rows, common = rows * kCutBins, bits = before - shift;
    const std::int32_t rest = at.words[kRest];
    for (int list = 0; list < 2 * rows; list += kWarps) {
      cx.each(regs, [&](int thread, Regs& r) {
        const int own = list + thread / kWarp;
        r.sum = 0;
        if (own >= 2 * rows) return;
        KVASIR_UNROLL
        for (int i = 0; i < kPerLane; ++i) {
          r.counts[i] = at.bins[own * kCutBins + kCutBins - 1 - thread % kWarp * kPerLane - i];
          r.sum += r.counts[i];
        }
      });
      cx.warpScan(regs, &Regs::sum);
      cx.each(regs, [&](int thread, Regs& r) {
        const int own = list + thread / kWarp;
        if (own >= 2 * rows) return;
        const bool alone = own < rows && at.ownAbove[own] >= 0;
        const std::int32_t share = alone ? static_cast<std::int32_t>(at.shares[own]) : 0;
        std::int32_t above = alone ? static_cast<std::int32_t>(at.ownAbove[own]) : 0, found = -1, foundAbove = 0, foundHere = 0;
        std::int32_t here = r.sum;
        KVASIR_UNROLL
        for (int i = kPerLane - 1; i >= 0; --i) {
          const int bin = kCutBins - 1 - thread % kWarp * kPerLane - i;
          at.bins[own * kCutBins + bin] = here;
          const std::int32_t next = here - r.counts[i];
          if (alone && above + here >= share && above + next < share) {
            found = bin;
            foundAbove = above + next;
            foundHere = above + here;
          }
          here = next;
        }
        r.low = found;
        r.high = foundAbove;
        r.sum = foundHere;
      });
      cx.syncWarp();
      cx.each(regs, [&](int thread, Regs& r) {
        const int own = list + thread / kWarp;
        if (own >= rows || r.low < 0) return;
        const std::uint64_t prefix = static_cast<std::uint64_t>(at.own[own]) << bits | static_cast<std::uint64_t>(r.low);
        const bool done = r.sum == at.shares[own] || shift == 0;
        at.own[own] = done ? prefix << shift : prefix;
        at.ownAbove[own] = done ? std::int32_t{-1} : r.high;
      });
    }
    cx.barrier();
    cx.each([&](int bin) {
      if (bin == kCutBins) at.words[kPending] = 0;
      if (bin >= kCutBins || rest <= 0) return;
      int beyond = 0, beyondNext = 0;
      for (int row = 0; row < rows; ++row) {
        const std::int32_t taken = at.above[row] - at.shares[row];
        beyond += most(0, taken + fromBin(at, common, row, bin));
        beyondNext += most(0, taken + fromBin(at, common, row, bin + 1));
      }
      if (beyond < rest || beyondNext >= rest) return;
      at.words[kBin] = bin;
      at.words[kLeft] = rest - beyondNext;
      at.words[kExact] = beyond == rest ? 1 : 0;
    });
    cx.barrier();
    const bool exact = rest > 0 && at.words[kExact] != 0, ties = rest > 0 && !exact && shift == 0;
    const std::int32_t bin = rest > 0 ? static_cast<std::int32_t>(at.words[kBin]) : std::int32_t{0};
    const std::uint64_t prefix = static_cast<std::uint64_t>(at.common[0]) << bits | static_cast<std::uint64_t>(bin);
    cx.each([&](int row) {
      if (row < rows && at.ownAbove[row] >= 0) cx.atomicOr(at.words + kPending, std::int32_t{1});
      if (row >= rows || rest <= 0 || ties) return;
      if (exact) {
        at.cut[row] = prefix << shift;
      } else {
        at.above[row] += fromBin(at, common, row, bin + 1);
        cx.atomicOr(at.words + kPending, std::int32_t{1});
      }
    });
    cx.barrier();
    cx.each([&](int thread) {
      if (thread != 0) return;
      at.common[0] = prefix;
      if (exact || ties) at.words[kRest] = 0;
      // Values that differ in nothing but their row: the lower rows first.
      std::int32_t left = ties ? static_cast<std::int32_t>(at.words[kLeft]) : std::int32_t{0};
      for (int row = 0; ties && row < rows; ++row) {
        const std::int32_t taken = at.above[row] - at.shares[row];
        const std::int32_t gains = most(0, taken + fromBin(at, common, row, bin)) - most(0, taken + fromBin(at, common, row, bin + 1));
        at.cut[row] = left >= gains ? prefix : prefix + 1;
        left -= least(left, gains);
      }
    });
    cx.barrier();
  }

  // Values of a row's common prefix from a bin on.
  template <class Shared>
  static KVASIR_DEVICE std::int32_t fromBin(const Shared& at, int common, int row, int bin) {
    if (bin >= kCutBins) return 0;
    return at.bins[common + row * kCutBins + bin];
  }
};

}  // namespace kvasir::gpu
