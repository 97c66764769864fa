// Decode attention over ragged lists: a block reads one part of a list for up to eight query heads, its warps every fourth
// tile each; the last block of a list to be done merges the parts in order.
// Bound: 2 tokens headDim bytes a list at the speed of memory; at one list of 1k tokens, five dependent reads, about 5 us.
#pragma once

#include <cmath>

#include "../args/attend_runs.h"
#include "../context/launcher.h"
#include "attend_list.h"
#include "attend_mma.h"
#include "attend_simt.h"
#include "last_block.h"

namespace kvasir::gpu {

struct AttendArgs {
  KvasirAttendRunsArgs op;
  int rowsOfSequence;  // lists
  int group;           // query heads a list
  int maxSplits;
  std::uint32_t* tickets;  // [lists][chunks of a group]
  float* outs;             // [lists][maxSplits][group][headDim]
  float* stats;            // [lists][maxSplits][group] of (max, sum)
};

template <class Math>
struct AttendRuns {
  using Args = AttendArgs;
  using T = typename Math::T;
  using Tiles = typename Math::Tiles;

  static constexpr int kWarps = Tiles::kWarps;
  static constexpr int kThreads = kWarps * kWarp;
  static constexpr int kMinBlocks = Math::kMinBlocks;
  static constexpr unsigned kSharedBytes = Tiles::kRingElements * sizeof(T) + Math::kQueryBytes + kWarps * Math::kWarpFloats * 4 +
                                           KVASIR_LONG_SPLIT_TOKENS * 8;

  static Plan plan(int lists, int maxSplits, int group) {
    Plan plan;
    plan.gridX = static_cast<unsigned>(lists) * static_cast<unsigned>(maxSplits);
    plan.gridY = static_cast<unsigned>(ceilDiv(group, static_cast<int>(KVASIR_QUERY_HEADS)));
    plan.sharedBytes = kSharedBytes;
    return plan;
  }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const KvasirAttendRunsArgs& op = args.op;
    const int headDim = op.kv.headDim;
    auto ring = cx.template shared<T>(Tiles::kRingElements);
    auto words = cx.template shared<std::uint32_t>(Math::kQueryBytes / 4);
    auto warpFloats = cx.template shared<float>(kWarps * Math::kWarpFloats);
    auto addresses = cx.template shared<const std::uint8_t*>(KVASIR_LONG_SPLIT_TOKENS);
    auto scratch = cx.template view<int>(words);  // while the list is read

    const int list = cx.blockX() / args.maxSplits, split = cx.blockX() % args.maxSplits;
    const int sequence = list / args.rowsOfSequence, row = list % args.rowsOfSequence;
    const int kvHead = row / (args.rowsOfSequence / op.kv.numKvHeads);
    const int firstHead = cx.blockY() * KVASIR_QUERY_HEADS;  // of the group
    const int queries = least(args.group - firstHead, static_cast<int>(KVASIR_QUERY_HEADS));
    const std::size_t head = static_cast<std::size_t>(list) * static_cast<std::size_t>(args.group) + static_cast<std::size_t>(firstHead);

    const ListRows rows = {op.keys,
                           op.rows.runs,
                           op.rows.rowStarts[list],
                           op.rows.rowStarts[list + 1],
                           op.keys != nullptr ? nullptr : op.pages + op.pageStarts[sequence],
                           op.kv.base + static_cast<std::size_t>(op.layer) * op.kv.layerStride + static_cast<std::size_t>(kvHead) * op.kv.headStride,
                           op.kv.pageStride,
                           headDim * static_cast<int>(sizeof(T))};
    const ListPart part = ListReader<Cx, kWarps>::read(cx, rows, split, scratch, addresses);
    if (part.tokens == 0 || part.splits > args.maxSplits) {
      if (split == 0) writeNothing(cx, op, head, queries, part.tokens == 0);
      return;
    }
    if (part.count == 0) return;
    Math::loadQueries(cx, words, op.q + head * static_cast<std::size_t>(headDim), headDim, queries, op.scale * kLog2E);
    cx.barrier();

    typename Cx::template Threads<typename Math::Regs> regs(cx);
    const typename Tiles::Layout layout = Tiles::layoutOf(headDim);
    const int steps = headDim / 16;
    Math::begin(cx, regs);
    cx.warps([&](int warp) {
      auto own = warpFloats + warp * Math::kWarpFloats;
      Tiles::template each<true>(
          cx, warp, ring, addresses, part.count, op.kv.valueStride, layout,
          [&](auto slot, int, int tokens) { Math::score(cx, regs, slot, layout, words, steps, tokens, own); },
          [&](auto slot, int tokens) { Math::add(cx, regs, slot, layout, steps, tokens, own); });
    });
    cx.barrier();

    // Over the ring: a state a warp.
    auto warpOuts = cx.template view<float>(ring);
    auto warpStats = warpOuts + kWarps * queries * headDim;
    cx.warps([&](int warp) {
      Math::finish(cx, regs, warpOuts + warp * queries * headDim, warpStats + 2 * warp * queries, headDim, queries);
    });
    cx.barrier();
    const auto ofWarps = [&](int query, int dim) {
      return mergeParts(
          cx, kWarps,
          [&](int warp) {
            return SoftmaxStats{warpStats[2 * (warp * queries + query)], warpStats[2 * (warp * queries + query) + 1]};
          },
          [&](int warp) { return cx.load16(warpOuts + (warp * queries + query) * headDim + dim); });
    };
    if (part.splits == 1) {
      writeRows(cx, op, head, queries, ofWarps);
      return;
    }

    // Of this list, then of each of its parts: the first head of this block's.
    const auto partAt = [&](int s) {
      return (static_cast<std::size_t>(list) * static_cast<std::size_t>(args.maxSplits) + static_cast<std::size_t>(s)) *
                 static_cast<std::size_t>(args.group) + static_cast<std::size_t>(firstHead);
    };
    cx.each([&](int thread) {
      for (int i = thread; i < queries * headDim / 4; i += kThreads) {
        const int query = 4 * i / headDim, dim = 4 * i % headDim;
        const Merged merged = ofWarps(query, dim);
        Vec16 values;
        KVASIR_UNROLL
        for (int e = 0; e < 4; ++e) values.word[e] = cx.asBits(merged.out[e]);
        const std::size_t at = partAt(split) + static_cast<std::size_t>(query);
        cx.store16(args.outs + at * static_cast<std::size_t>(headDim) + dim, values);
        if (dim == 0) cx.store8(args.stats + 2 * at, Vec8{{cx.asBits(merged.max), cx.asBits(merged.sum)}});
      }
    });
    std::uint32_t* ticket = args.tickets + static_cast<std::size_t>(list) * static_cast<std::size_t>(cx.gridY()) + cx.blockY();
    if (!isLastBlock(cx, words, ticket, static_cast<std::uint32_t>(part.splits))) return;
    writeRows(cx, op, head, queries, [&](int query, int dim) {
      return mergeParts(
          cx, part.splits,
          [&](int s) {
            const Vec8 pair = cx.load8(args.stats + 2 * (partAt(s) + static_cast<std::size_t>(query)));
            return SoftmaxStats{cx.asFloat(pair.word[0]), cx.asFloat(pair.word[1])};
          },
          [&](int s) {
            return cx.load16(args.outs + (partAt(s) + static_cast<std::size_t>(query)) * static_cast<std::size_t>(headDim) + dim);
          });
    });
  }

 private:
  // mergedOf(query, dim): the state of four dimensions.
  template <class Cx, class MergedOf>
  static KVASIR_DEVICE void writeRows(Cx& cx, const KvasirAttendRunsArgs& op, std::size_t head, int queries, const MergedOf& mergedOf) {
    const int headDim = op.kv.headDim;
    cx.each([&](int thread) {
      for (int i = thread; i < queries * headDim / 4; i += kThreads) {
        const int query = 4 * i / headDim, dim = 4 * i % headDim;
        const Merged merged = mergedOf(query, dim);
        const std::size_t at = head + static_cast<std::size_t>(query);
        cx.store16(op.out + at * static_cast<std::size_t>(headDim) + dim, outOf(cx, merged));
        if (dim == 0 && op.lse != nullptr) op.lse[at] = lseOf(cx, merged);
      }
    });
  }

  // An empty list's answer, or NaN for one that is longer than the caller said.
  template <class Cx>
  static KVASIR_DEVICE void writeNothing(Cx& cx, const KvasirAttendRunsArgs& op, std::size_t head, int queries, bool empty) {
    cx.each([&](int thread) {
      for (int i = thread; i < queries * op.kv.headDim; i += kThreads) {
        op.out[head * static_cast<std::size_t>(op.kv.headDim) + static_cast<std::size_t>(i)] = empty ? 0.0f : NAN;
      }
      if (thread < queries && op.lse != nullptr) op.lse[head + static_cast<std::size_t>(thread)] = empty ? -INFINITY : NAN;
    });
  }
};

template <template <int> class Math>
int runAttendRuns(Launcher launcher, const AttendArgs& args) {
  const int lists = args.op.numSequences * args.rowsOfSequence, headDim = args.op.kv.headDim;
  if (headDim <= 64) return launcher.run<AttendRuns<Math<4>>>(AttendRuns<Math<4>>::plan(lists, args.maxSplits, args.group), args);
  if (headDim <= 128) return launcher.run<AttendRuns<Math<8>>>(AttendRuns<Math<8>>::plan(lists, args.maxSplits, args.group), args);
  return launcher.run<AttendRuns<Math<16>>>(AttendRuns<Math<16>>::plan(lists, args.maxSplits, args.group), args);
}

template <int kSteps>
using SimtOfHalves = SimtAttention<Half, kSteps>;
template <int kSteps>
using SimtOfFloats = SimtAttention<float, kSteps>;

inline int launchAttendRuns(Launcher launcher, const KvasirAttendRunsArgs& op) {
  const KvasirKvView& kv = op.kv;
  const char* wrong = wrongAttention(kv, op.numHeads);
  if (wrong != nullptr) return launcher.refuse(std::string("attendRuns: ") + wrong);
  if (op.numSequences < 0 || op.maxTokens < 0) return launcher.refuse("attendRuns: numSequences and maxTokens must not be negative");
  if (op.numSequences == 0) return KVASIR_GPU_OK;

  AttendArgs args{};
  args.op = op;
  args.rowsOfSequence = op.rows.perQueryHead != 0 ? op.numHeads : kv.numKvHeads;
  args.group = op.numHeads / args.rowsOfSequence;
  args.maxSplits = most(1, static_cast<int>(kvasirAttendSplits(op.maxTokens)));
  const int lists = op.numSequences * args.rowsOfSequence;
  const std::size_t needed = kvasirAttendWorkspaceBytes(lists, args.group, kv.headDim, op.maxTokens);
  if (op.workspaceBytes < needed) {
    return launcher.refuse("attendRuns: the workspace has " + std::to_string(op.workspaceBytes) + " bytes, needed are " + std::to_string(needed));
  }
  std::uint8_t* at = static_cast<std::uint8_t*>(op.workspace);
  args.tickets = reinterpret_cast<std::uint32_t*>(at);
  args.outs = reinterpret_cast<float*>(at + kvasirAttendTicketBytes(lists, args.group));
  args.stats = args.outs + static_cast<std::size_t>(lists) * static_cast<std::size_t>(args.group) *
                               static_cast<std::size_t>(kvasirAttendSplits(op.maxTokens)) * static_cast<std::size_t>(kv.headDim);
  if (kv.type == KVASIR_F32) return runAttendRuns<SimtOfFloats>(launcher, args);
  if (op.exact != 0) return runAttendRuns<SimtOfHalves>(launcher, args);
  return runAttendRuns<MmaAttention>(launcher, args);
}

}  // namespace kvasir::gpu
