// selectRuns: ten launches, or six where nothing is pooled or all is scored, that hand each other device memory alone; one
// more where sequences without codes may be among others.
#pragma once

#include "emit_lists.h"
#include "select_prepare.h"
#include "select_scan.h"
#include "select_values.h"

namespace kvasir::gpu {

constexpr int kPlanWords = sizeof(SelectPlan) / 4;
static_assert(kPlanWords == 8, "a row of plans");

// Values of the pool under the softmax over visible tokens and pool. Along x pieces of the pool, along y rows.
struct SelectPoolValues {
  using Args = SelectArgs;

  static constexpr int kThreads = 256;
  static constexpr int kMinBlocks = 6;
  static constexpr unsigned kSharedBytes = 4 * 16;

  static Plan plan(const Args& args) {
    return {static_cast<unsigned>(ceilDiv(args.work.poolStride, kThreads)), static_cast<unsigned>(args.op.numSequences * args.work.rows), kSharedBytes};
  }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const int row = cx.blockY(), s = row / args.work.rows, own = row % args.work.rows;
    const int firstHead = s * args.op.numHeads + own * args.headsPerRow, start = cx.blockX() * kThreads;
    const int count = workAt<std::int32_t>(args, args.work.poolCounts)[row];
    if (start >= count) return;
    typename Cx::template Threads<LogSumRegs> regs(cx);
    auto logSums = cx.template shared<float>(16);
    addLogSums(cx, regs, args.headsPerRow, KVASIR_SELECT_VISIBLE_PARTS + ceilDiv(count, kPoolChunk), logSums, [&](int head, int part) {
      if (part < KVASIR_SELECT_VISIBLE_PARTS) return visiblePart(args, args.kinds - 1, firstHead + head, part);
      return static_cast<const float*>(workAt<float>(args, args.work.poolPartials)) +
             2 * (wide(firstHead + head) * wide(args.work.poolChunks) + wide(part - KVASIR_SELECT_VISIBLE_PARTS));
    });
    cx.each([&](int thread) {
      const int at = start + thread;
      if (at >= count) return;
      float value = 0.0f;
      for (int head = 0; head < args.headsPerRow; ++head) {
        const float score = workAt<float>(args, args.work.poolScores)[wide(firstHead + head) * wide(args.work.poolStride) + wide(at)];
        value += cx.exp2(score - logSums[head]);
      }
      workAt<float>(args, args.work.poolValues)[wide(row) * wide(args.work.poolStride) + wide(at)] = value > 0.0f ? value : 0.0f;
    });
  }

 private:
  static constexpr int kPoolChunk = KVASIR_SELECT_POOL_CHUNK;
};

struct ChosenArgs {
  SelectArgs select;
  CutLists lists;
};

// Rows that attention reads, of one row of the choice, in the order of positions: visible ones, then what the cut leaves of
// a list, then visible ones. A row of the cache starts a run where its page starts or the row before it is not read.
struct ChosenRow {
  const KvasirSelectSequence* sequence;
  const CutLists* lists;
  std::size_t list;
  std::uint64_t cut;
  int kvHead, first, end, listed, count;

  KVASIR_DEVICE static ChosenRow of(const ChosenArgs& args, int row) {
    const SelectArgs& select = args.select;
    ChosenRow chosen;
    chosen.sequence = &select.op.sequences[row / select.work.rows];
    chosen.lists = &args.lists;
    chosen.list = wide(row) * args.lists.stride;
    chosen.cut = args.lists.cuts[row];
    chosen.kvHead = row % select.work.rows * select.headsPerRow / select.group;
    const SelectPlan& plan = planOf(select, row);
    chosen.first = plan.first;
    chosen.end = plan.end;
    chosen.listed = args.lists.counts[row];
    chosen.count = plan.first + chosen.listed + chosen.sequence->numTokens - plan.end;
    return chosen;
  }

  // The i-th of them that may be read; -1 if it is not.
  template <class Cx>
  KVASIR_DEVICE int tokenAt(Cx& cx, int i) const {
    if (i >= first && i < first + listed) {
      const std::size_t at = list + wide(i - first);
      const int token = lists->tokens[at];
      return rankOf(keyAt(cx, lists->values, at), token, lists->tokenBits) >= cut ? token : -1;
    }
    const int token = i < first ? i : end + i - first - listed;
    return isKept(*sequence, kvHead, token) ? token : -1;
  }

  template <class Cx>
  KVASIR_DEVICE bool startsRun(Cx& cx, int i) const {
    const int token = tokenAt(cx, i);
    return token >= 0 && (token % KVASIR_PAGE_TOKENS == 0 || i == 0 || tokenAt(cx, i - 1) != token - 1);
  }
};

// The final cut of each sequence, and how many runs and tokens it makes a row.
struct CutChosen {
  using Args = ChosenArgs;

  static constexpr int kThreads = kCutThreads;
  static constexpr int kMinBlocks = 1;
  static constexpr unsigned kSharedBytes = FindCuts::kSharedBytes + 8 * FindCuts::kRows;

  struct Regs : FindCuts::Regs {
    std::int32_t runs, tokens;
  };

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const SelectArgs& select = args.select;
    const int rows = select.work.rows, firstRow = cx.blockX() * rows;
    typename Cx::template Threads<Regs> regs(cx);
    const auto at = FindCuts::carve(cx);
    auto runs = cx.template shared<std::int32_t>(FindCuts::kRows);
    auto tokens = cx.template shared<std::int32_t>(FindCuts::kRows);
    cx.each([&](int thread) {
      if (thread >= rows) return;
      runs[thread] = 0;
      tokens[thread] = 0;
    });
    FindCuts::run(cx, regs, at, args.lists, cx.blockX());
    for (int row = 0; row < rows; ++row) {
      cx.each(regs, [&](int thread, Regs& r) {
        const ChosenRow chosen = ChosenRow::of(args, firstRow + row);
        r.runs = 0;
        r.tokens = 0;
        for (int i = thread; i < chosen.count; i += kThreads) {
          const int token = chosen.tokenAt(cx, i);
          if (token < 0) continue;
          ++r.tokens;
          r.runs += token % KVASIR_PAGE_TOKENS == 0 || i == 0 || chosen.tokenAt(cx, i - 1) != token - 1 ? 1 : 0;
        }
      });
      cx.warpSum(regs, &Regs::runs);
      cx.warpSum(regs, &Regs::tokens);
      cx.each(regs, [&](int thread, Regs& r) {
        if (thread % kWarp != 0 || r.tokens == 0) return;
        cx.atomicAdd(runs + row, r.runs);
        cx.atomicAdd(tokens + row, r.tokens);
      });
    }
    cx.barrier();
    cx.each([&](int thread) {
      if (thread >= rows) return;
      const int row = firstRow + thread;
      workAt<std::int32_t>(select, select.work.runCounts)[row] = runs[thread];
      if (select.op.counts == nullptr) return;
      select.op.counts[2 * row] = tokens[thread];
      // Nothing is scored where the budget leaves no choice.
      bool none = true, everything = true;
      for (int other = firstRow; other < firstRow + rows; ++other) {
        const SelectPlan& plan = planOf(select, other);
        none = none && plan.wanted == 0;
        everything = everything && plan.wanted == plan.candidates;
      }
      const SelectPlan& plan = planOf(select, row);
      const int scored = plan.exact != 0 ? plan.candidates : select.op.poolTokens > 0 ? args.lists.counts[row] : 0;
      select.op.counts[2 * row + 1] = none || everything ? 0 : scored;
    });
  }
};

// A block a row writes its runs behind those of the rows before it.
struct EmitRuns {
  using Args = ChosenArgs;

  static constexpr int kThreads = kEmitThreads;
  static constexpr int kMinBlocks = 2;
  static constexpr unsigned kSharedBytes = 2 * 4 * (kThreads / kWarp);

  struct Regs : EmitRegs {
    std::int32_t before;
  };

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const SelectArgs& select = args.select;
    const int row = cx.blockX();
    typename Cx::template Threads<Regs> regs(cx);
    auto sums = cx.template shared<std::int32_t>(kThreads / kWarp);
    auto warpSums = cx.template shared<std::int32_t>(kThreads / kWarp);
    const std::int32_t* runCounts = workAt<std::int32_t>(select, select.work.runCounts);
    cx.each(regs, [&](int thread, Regs& r) {
      r.before = 0;
      for (int other = thread; other < row; other += kThreads) r.before += runCounts[other];
    });
    cx.warpSum(regs, &Regs::before);
    cx.each(regs, [&](int thread, Regs& r) {
      if (thread % kWarp == 0) warpSums[thread / kWarp] = r.before;
    });
    cx.barrier();
    std::int32_t before = 0;
    for (int warp = 0; warp < kThreads / kWarp; ++warp) before += warpSums[warp];
    const ChosenRow chosen = ChosenRow::of(args, row);
    const std::int32_t runs = numberEntries(
        cx, regs, sums, chosen.count, [&](int i) { return chosen.startsRun(cx, i); },
        [&](int i, int place) {
          if (before + place >= select.op.maxRuns) return;
          const int token = chosen.tokenAt(cx, i), first = token % KVASIR_PAGE_TOKENS;
          int length = 1;
          while (first + length < KVASIR_PAGE_TOKENS && i + length < chosen.count && chosen.tokenAt(cx, i + length) == token + length) ++length;
          select.op.runs[before + place] = {token / KVASIR_PAGE_TOKENS, first, length};
        });
    cx.each([&](int thread) {
      if (thread != 0) return;
      if (row == 0) select.op.rowStarts[0] = 0;
      select.op.rowStarts[row + 1] = least(before + runs, static_cast<std::int32_t>(select.op.maxRuns));
    });
  }
};

template <class T>
int runSelectRuns(Launcher launcher, const SelectArgs& args) {
  const KvasirSelectRunsArgs& op = args.op;
  const KvasirSelectLayout& work = args.work;
  std::uint8_t* base = static_cast<std::uint8_t*>(op.workspace);
  const auto at = [&](std::size_t part) { return reinterpret_cast<std::int32_t*>(base + part); };
  const unsigned rows = static_cast<unsigned>(op.numSequences * work.rows), sequences = static_cast<unsigned>(op.numSequences);
  const SelectPlan* plans = reinterpret_cast<const SelectPlan*>(base + work.plans);
  CutLists lists = {};
  lists.values = reinterpret_cast<const float*>(base + work.listValues);
  lists.tokens = at(work.listTokens);
  lists.counts = at(work.listCounts);
  lists.stride = static_cast<std::size_t>(work.chunks) * KVASIR_SELECT_CHUNK;
  lists.wanted = &plans->pooled;
  lists.wantedStride = kPlanWords;
  lists.rows = work.rows;
  lists.joint = op.jointHeads;
  lists.tokenBits = bitsOf(op.maxTokens);
  lists.cuts = reinterpret_cast<std::uint64_t*>(base + work.cuts);

  int status = launcher.run<SelectPrepare<T>>(SelectPrepare<T>::plan(args), args);
  if (status == KVASIR_GPU_OK && op.exact == 0) {
    status = args.group == 1 ? launcher.run<SelectScan<1>>(SelectScan<1>::plan(args), args)
                             : launcher.run<SelectScan<kSelectHeads>>(SelectScan<kSelectHeads>::plan(args), args);
  }
  if (status == KVASIR_GPU_OK && (op.exact != 0 || op.allCoded == 0)) status = launcher.run<SelectScores<T, false>>(SelectScores<T, false>::plan(args), args);
  if (status == KVASIR_GPU_OK) status = launcher.run<SelectValues>(SelectValues::plan(args), args);
  if (status == KVASIR_GPU_OK) status = launcher.run<SelectNarrow>(SelectNarrow::plan(args), args);
  if (status == KVASIR_GPU_OK && op.poolTokens > 0 && op.exact == 0) {
    status = launcher.run<CutSets>({sequences, 1, CutSets::kSharedBytes}, lists);
    if (status == KVASIR_GPU_OK) {
      status = launcher.run<EmitTokens>({rows, 1, EmitTokens::kSharedBytes},
                                        {lists, at(work.pool), static_cast<std::size_t>(work.poolStride), at(work.poolCounts)});
    }
    if (status == KVASIR_GPU_OK) status = launcher.run<SelectScores<T, true>>(SelectScores<T, true>::plan(args), args);
    if (status == KVASIR_GPU_OK) status = launcher.run<SelectPoolValues>(SelectPoolValues::plan(args), args);
    lists.values = reinterpret_cast<const float*>(base + work.poolValues);
    lists.tokens = at(work.pool);
    lists.counts = at(work.poolCounts);
    lists.stride = static_cast<std::size_t>(work.poolStride);
    lists.wanted = &plans->wanted;
  }
  if (status == KVASIR_GPU_OK) status = launcher.run<CutChosen>({sequences, 1, CutChosen::kSharedBytes}, {args, lists});
  if (status == KVASIR_GPU_OK) status = launcher.run<EmitRuns>({rows, 1, EmitRuns::kSharedBytes}, {args, lists});
  return status;
}

inline int launchSelectRuns(Launcher launcher, const KvasirSelectRunsArgs& op) {
  const KvasirKvView& kv = op.kv;
  if (op.numSequences < 0) return launcher.refuse("selectRuns: numSequences is negative");
  if (kv.numKvHeads < 1 || op.numHeads < 1 || op.numHeads % kv.numKvHeads != 0 || op.numHeads / kv.numKvHeads > 16) {
    return launcher.refuse("selectRuns: numHeads must be 1 to 16 times numKvHeads");
  }
  if (kv.type != KVASIR_F16 && kv.type != KVASIR_F32) return launcher.refuse("selectRuns: type must be f16 or f32");
  if (kv.headDim < 1 || kv.headDim > KVASIR_INDEX_MAX_DIM || kv.headDim * (kv.type == KVASIR_F16 ? 2 : 4) % 16 != 0) {
    return launcher.refuse("selectRuns: rows must be multiples of 16 bytes, headDim at most 256");
  }
  if (op.hot.rows != nullptr) {
    if (const char* wrong = wrongTier(kv, op.hot)) return launcher.refuse("selectRuns: " + std::string(wrong));
  }
  if (op.maxTokens < 1 || op.maxTokens > 1 << 24) return launcher.refuse("selectRuns: maxTokens must be 1 to 16777216");
  if (op.budgetTokens < 0 || op.sinkTokens < 0 || op.recentTokens < 0 || op.poolTokens < 0 || op.maxSegments < 0 || op.maxRuns < 0) {
    return launcher.refuse("selectRuns: a count is negative");
  }
  const KvasirIndexShape& index = op.index;
  const bool codes = (index.codeBits == 1 || index.codeBits == 2 || index.codeBits == 4) && (index.vectorBits == 8 || index.vectorBits == 16) &&
                     index.headDim == kv.headDim && index.numKvHeads == kv.numKvHeads;
  if (op.exact == 0 && !codes) return launcher.refuse("selectRuns: an index of 1, 2 or 4 bits and vectors of 8 or 16, of the cache's heads");
  SelectArgs args = {};
  args.op = op;
  if (op.exact == 0) args.index = kvasirIndexLayout(&index);
  args.work = kvasirSelectLayout(&op);
  args.group = op.numHeads / kv.numKvHeads;
  args.headsPerRow = op.perQueryHead != 0 ? 1 : args.group;
  args.kinds = op.exact != 0 || op.estimateQ == op.q ? 1 : 2;
  if (args.work.rows > KVASIR_CUT_MAX_ROWS) return launcher.refuse("selectRuns: at most 40 rows share a budget");
  if (op.numSequences == 0) return KVASIR_GPU_OK;
  return kv.type == KVASIR_F16 ? runSelectRuns<Half>(launcher, args) : runSelectRuns<float>(launcher, args);
}

}  // namespace kvasir::gpu
