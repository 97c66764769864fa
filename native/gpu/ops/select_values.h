// Scores become values, and values a list of those that a cut may keep.
#pragma once

#include "select_args.h"

namespace kvasir::gpu {

// Eight bins an octave from 2^-32 on: few enough to count in shared memory, fine enough that few values beyond what is
// kept share the bin where it ends.
KVASIR_DEVICE int binOf(std::int32_t key) {
  constexpr std::int32_t kLowest = 95 << 23;
  if (key < kLowest) return 0;
  return least(KVASIR_SELECT_BINS - 1, 1 + ((key - kLowest) >> 20));
}

struct LogSumRegs {
  float best, own, total;
};

// to[head] = logarithm of the softmax denominator of each of `heads` query heads, from partOf(head, part): {largest, sum of
// powers about it} or null. A warp a head, so that every block that asks has the same bits.
template <class Cx, class Threads, class Shared, class PartOf>
KVASIR_DEVICE void addLogSums(Cx& cx, Threads& regs, int heads, int parts, const Shared& to, const PartOf& partOf) {
  const int warps = cx.threads() / kWarp;
  for (int h = 0; h < heads; h += warps) {
    cx.each(regs, [&](int thread, LogSumRegs& r) {
      const int head = h + thread / kWarp;
      r.best = minusInfinity();
      r.total = 0.0f;
      for (int part = thread % kWarp; head < heads && part < parts; part += kWarp) {
        const float* own = partOf(head, part);
        if (own == nullptr || own[0] == minusInfinity()) continue;
        const float best = own[0] > r.best ? own[0] : r.best;
        r.total = (r.best == minusInfinity() ? 0.0f : r.total * cx.exp2(r.best - best)) + own[1] * cx.exp2(own[0] - best);
        r.best = best;
      }
      r.own = r.best;
    });
    cx.warpMax(regs, &LogSumRegs::best);
    cx.each(regs, [&](int, LogSumRegs& r) {
      r.total = r.own == minusInfinity() ? 0.0f : r.total * cx.exp2(r.own - r.best);
    });
    cx.warpSum(regs, &LogSumRegs::total);
    cx.each(regs, [&](int thread, LogSumRegs& r) {
      const int head = h + thread / kWarp;
      if (head < heads && thread % kWarp == 0) to[head] = r.total > 0.0f ? r.best + cx.log2(r.total) : minusInfinity();
    });
  }
  cx.barrier();
}

// The parts of visible tokens of a query head (of all sequences), kind 1 for the true query.
KVASIR_DEVICE const float* visiblePart(const SelectArgs& args, int kind, int head, int part) {
  const std::size_t all = wide(args.op.numSequences * args.op.numHeads);
  return workAt<float>(args, args.work.visible) + 2 * ((wide(kind) * all + wide(head)) * KVASIR_SELECT_VISIBLE_PARTS + wide(part));
}

// Values of four tokens a thread, and how many of them lie in each bin. Along x chunks, along y rows.
struct SelectValues {
  using Args = SelectArgs;

  static constexpr int kThreads = 256;
  static constexpr int kMinBlocks = 6;
  static constexpr int kPerLane = KVASIR_SELECT_BINS / kWarp;
  static constexpr unsigned kSharedBytes = 4 * (16 + KVASIR_SELECT_BINS);

  struct Regs : LogSumRegs {
    std::int32_t counts[kPerLane], sum;
  };

  static Plan plan(const Args& args) {
    return {static_cast<unsigned>(args.work.chunks), static_cast<unsigned>(args.op.numSequences * args.work.rows), kSharedBytes};
  }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const int row = cx.blockY(), s = row / args.work.rows, own = row % args.work.rows;
    const int firstHead = s * args.op.numHeads + own * args.headsPerRow, kvHead = own * args.headsPerRow / args.group;
    const KvasirSelectSequence& sequence = args.op.sequences[s];
    int first, end;
    candidateSpan(args, sequence, first, end);
    const int start = cx.blockX() * KVASIR_SELECT_CHUNK, firstChunk = first / KVASIR_SELECT_CHUNK;
    if (start >= end || cx.blockX() < firstChunk) return;

    typename Cx::template Threads<Regs> regs(cx);
    auto logSums = cx.template shared<float>(16);
    auto bins = cx.template shared<std::int32_t>(KVASIR_SELECT_BINS);
    const int kind = scoresExactly(args, sequence) ? args.kinds - 1 : 0;
    addLogSums(cx, regs, args.headsPerRow, KVASIR_SELECT_VISIBLE_PARTS + ceilDiv(end, kSelectChunk) - firstChunk, logSums,
               [&](int head, int part) {
                 if (part < KVASIR_SELECT_VISIBLE_PARTS) return visiblePart(args, kind, firstHead + head, part);
                 const int chunk = firstChunk + part - KVASIR_SELECT_VISIBLE_PARTS;
                 return static_cast<const float*>(workAt<float>(args, args.work.partials)) +
                        2 * (wide(firstHead + head) * wide(args.work.chunks) + wide(chunk));
               });
    cx.each([&](int thread) {
      for (int i = thread; i < KVASIR_SELECT_BINS; i += kThreads) bins[i] = 0;
    });
    cx.barrier();
    cx.each([&](int thread) {
      const int token = start + 4 * thread;
      float values[4] = {};
      for (int head = 0; head < args.headsPerRow; ++head) {
        const Vec16 scores = cx.load16(workAt<float>(args, args.work.scores) + wide(firstHead + head) * tokenStride(args) + wide(token));
        const float logSum = logSums[head];
        KVASIR_UNROLL
        for (int i = 0; i < 4; ++i) values[i] += cx.exp2(cx.asFloat(scores.word[i]) - logSum);
      }
      Vec16 out;
      KVASIR_UNROLL
      for (int i = 0; i < 4; ++i) {
        const bool candidate = token + i >= first && token + i < end && isKept(sequence, kvHead, token + i);
        // No number is worth nothing.
        const float value = !candidate ? -1.0f : values[i] > 0.0f ? values[i] : 0.0f;
        out.word[i] = cx.asBits(value);
        if (candidate) cx.atomicAdd(bins + binOf(static_cast<std::int32_t>(out.word[i])), std::int32_t{1});
      }
      cx.store16(workAt<float>(args, args.work.values) + wide(row) * tokenStride(args) + wide(token), out);
    });
    cx.barrier();
    // How many lie in each bin or above, of this chunk; and what the bins of the row hold.
    cx.warps([&](int warp) {
      if (warp != 0) return;
      cx.each(regs, [&](int lane, Regs& r) {
        r.sum = 0;
        KVASIR_UNROLL
        for (int i = 0; i < kPerLane; ++i) {
          r.counts[i] = bins[KVASIR_SELECT_BINS - 1 - lane * kPerLane - i];
          r.sum += r.counts[i];
        }
      });
      cx.warpScan(regs, &Regs::sum);
      cx.each(regs, [&](int lane, Regs& r) {
        std::int32_t* above = workAt<std::int32_t>(args, args.work.above) +
                              (wide(row) * wide(args.work.chunks) + wide(cx.blockX())) * KVASIR_SELECT_BINS;
        std::int32_t* all = workAt<std::int32_t>(args, args.work.bins) + wide(row) * KVASIR_SELECT_BINS;
        int count = r.sum;
        KVASIR_UNROLL
        for (int i = kPerLane - 1; i >= 0; --i) {
          const int bin = KVASIR_SELECT_BINS - 1 - lane * kPerLane - i;
          above[bin] = count;
          count -= r.counts[i];
          if (r.counts[i] > 0) cx.atomicAdd(all + bin, r.counts[i]);
        }
      });
    });
  }
};

// Lists the values from the lowest bin on in which a cut may end, ascending tokens: an eighth of an octave more than what is
// kept. Every block finds the bin for itself, and from the chunks before it where its part of the list begins.
struct SelectNarrow {
  using Args = SelectArgs;

  static constexpr int kThreads = 256;
  static constexpr int kMinBlocks = 4;
  static constexpr int kWarps = kThreads / kWarp;
  static constexpr int kPerLane = KVASIR_SELECT_BINS / kWarp;
  static constexpr int kMaxRows = 40;
  static constexpr unsigned kSharedBytes = 4 * (kMaxRows * KVASIR_SELECT_BINS + kMaxRows + kWarps + 4);

  struct Regs {
    std::int32_t counts[kPerLane], sum, before;
    std::int32_t keys[4];
  };

  static Plan plan(const Args& args) {
    return {static_cast<unsigned>(args.work.chunks), static_cast<unsigned>(args.op.numSequences * args.work.rows), kSharedBytes};
  }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const int rows = args.work.rows, row = cx.blockY(), s = row / rows, own = row % rows;
    const SelectPlan plan = planOf(args, row);
    const bool none = plan.end <= plan.first;
    const int firstChunk = none ? 0 : plan.first / KVASIR_SELECT_CHUNK, start = cx.blockX() * KVASIR_SELECT_CHUNK;
    const int lastChunk = none ? 0 : (plan.end - 1) / KVASIR_SELECT_CHUNK;
    if (cx.blockX() < firstChunk || cx.blockX() > lastChunk) return;

    typename Cx::template Threads<Regs> regs(cx);
    auto above = cx.template shared<std::int32_t>(kMaxRows * KVASIR_SELECT_BINS);
    auto shares = cx.template shared<std::int32_t>(kMaxRows);
    auto warpSums = cx.template shared<std::int32_t>(kWarps);
    auto found = cx.template shared<std::int32_t>(2);  // lowest bin, how much is left for all rows
    countAbove(cx, regs, args, s * rows, above);
    cx.each([&](int thread) {
      if (thread < rows) {
        const SelectPlan other = planOf(args, s * rows + thread);
        shares[thread] = least(args.op.jointHeads ? other.pooled / 4 : other.pooled, other.candidates);
      }
      if (thread == 0) {
        found[0] = KVASIR_SELECT_BINS;
        int wanted = 0, all = 0, taken = 0;
        for (int r = 0; r < rows; ++r) {
          const SelectPlan other = planOf(args, s * rows + r);
          wanted += other.pooled;
          all += other.candidates;
          taken += least(args.op.jointHeads ? other.pooled / 4 : other.pooled, other.candidates);
        }
        found[1] = args.op.jointHeads ? least(wanted, all) - taken : 0;
      }
    });
    cx.barrier();
    cx.each([&](int thread) {
      const int share = shares[own], rest = found[1];
      for (int bin = thread; bin < KVASIR_SELECT_BINS; bin += kThreads) {
        const bool top = bin == KVASIR_SELECT_BINS - 1;
        const std::int32_t here = above[own * KVASIR_SELECT_BINS + bin];
        const std::int32_t next = top ? std::int32_t{0} : static_cast<std::int32_t>(above[own * KVASIR_SELECT_BINS + bin + 1]);
        if (share > 0 && here >= share && next < share) cx.atomicMin(found, static_cast<std::int32_t>(bin));
        if (rest <= 0) continue;
        int beyond = 0, beyondNext = 0;
        for (int r = 0; r < rows; ++r) {
          const std::int32_t rowShare = shares[r];
          beyond += most(0, above[r * KVASIR_SELECT_BINS + bin] - rowShare);
          if (!top) beyondNext += most(0, above[r * KVASIR_SELECT_BINS + bin + 1] - rowShare);
        }
        if (beyond >= rest && beyondNext < rest) cx.atomicMin(found, static_cast<std::int32_t>(bin));
      }
    });
    cx.barrier();
    const std::int32_t lowest = found[0];
    const std::size_t chunksOfRow = wide(row) * wide(args.work.chunks);
    cx.each(regs, [&](int thread, Regs& r) {
      r.before = 0;
      if (lowest == KVASIR_SELECT_BINS) return;
      for (int chunk = firstChunk + thread; chunk < cx.blockX(); chunk += kThreads) {
        r.before += workAt<std::int32_t>(args, args.work.above)[(chunksOfRow + wide(chunk)) * KVASIR_SELECT_BINS + wide(lowest)];
      }
    });
    cx.warpSum(regs, &Regs::before);
    cx.each(regs, [&](int thread, Regs& r) {
      if (thread % kWarp == 0) warpSums[thread / kWarp] = r.before;
    });
    cx.barrier();
    std::int32_t before = 0;
    for (int warp = 0; warp < kWarps; ++warp) before += warpSums[warp];
    cx.barrier();
    writeList(cx, regs, args, row, plan, start, lowest, before, warpSums);
    cx.each([&](int thread) {
      if (cx.blockX() != lastChunk || thread != 0) return;
      workAt<std::int32_t>(args, args.work.listCounts)[row] =
          lowest == KVASIR_SELECT_BINS ? std::int32_t{0} : static_cast<std::int32_t>(above[own * KVASIR_SELECT_BINS + lowest]);
    });
  }

 private:
  // above[r][bin]: values of row r in this bin or above.
  template <class Cx, class Threads, class Shared>
  static KVASIR_DEVICE void countAbove(Cx& cx, Threads& regs, const Args& args, int firstRow, const Shared& above) {
    const int rows = args.work.rows;
    for (int from = 0; from < rows; from += kWarps) {
      cx.each(regs, [&](int thread, Regs& r) {
        const int row = from + thread / kWarp, lane = thread % kWarp;
        const std::int32_t* bins = workAt<std::int32_t>(args, args.work.bins) + wide(firstRow + row) * KVASIR_SELECT_BINS;
        r.sum = 0;
        KVASIR_UNROLL
        for (int i = 0; i < kPerLane; ++i) {
          r.counts[i] = row < rows ? bins[KVASIR_SELECT_BINS - 1 - lane * kPerLane - i] : 0;
          r.sum += r.counts[i];
        }
      });
      cx.warpScan(regs, &Regs::sum);
      cx.each(regs, [&](int thread, Regs& r) {
        const int row = from + thread / kWarp, lane = thread % kWarp;
        if (row >= rows) return;
        int count = r.sum;
        KVASIR_UNROLL
        for (int i = kPerLane - 1; i >= 0; --i) {
          above[row * KVASIR_SELECT_BINS + KVASIR_SELECT_BINS - 1 - lane * kPerLane - i] = count;
          count -= r.counts[i];
        }
      });
    }
    cx.barrier();
  }

  template <class Cx, class Threads, class Shared>
  static KVASIR_DEVICE void writeList(Cx& cx, Threads& regs, const Args& args, int row, const SelectPlan& plan, int start,
                                      int lowest, int before, const Shared& warpSums) {
    if (plan.end <= plan.first) return;
    cx.each(regs, [&](int thread, Regs& r) {
      const Vec16 values = cx.load16(workAt<float>(args, args.work.values) + wide(row) * tokenStride(args) + wide(start + 4 * thread));
      r.sum = 0;
      KVASIR_UNROLL
      for (int i = 0; i < 4; ++i) {
        r.keys[i] = static_cast<std::int32_t>(values.word[i]);
        if (r.keys[i] >= 0 && binOf(r.keys[i]) >= lowest) ++r.sum;
      }
      r.before = r.sum;
    });
    cx.warpScan(regs, &Regs::sum);
    cx.each(regs, [&](int thread, Regs& r) {
      if (thread % kWarp == kWarp - 1) warpSums[thread / kWarp] = r.sum;
    });
    cx.barrier();
    cx.each(regs, [&](int thread, Regs& r) {
      int at = before + r.sum - r.before;
      for (int warp = 0; warp < thread / kWarp; ++warp) at += warpSums[warp];
      std::int32_t* tokens = workAt<std::int32_t>(args, args.work.listTokens) + wide(row) * tokenStride(args);
      std::int32_t* values = workAt<std::int32_t>(args, args.work.listValues) + wide(row) * tokenStride(args);
      KVASIR_UNROLL
      for (int i = 0; i < 4; ++i) {
        if (r.keys[i] < 0 || binOf(r.keys[i]) < lowest) continue;
        tokens[at] = start + 4 * thread + i;
        values[at] = r.keys[i];
        ++at;
      }
    });
  }
};

}  // namespace kvasir::gpu
