// Decode attention over ragged lists: a block reads one part of a list for up to eight query heads, its warps every fourth
// tile each; the last block of a list to be done merges the parts in order.
// Bound: 2 tokens headDim bytes a list at the speed of memory; at one list of 1k tokens, five dependent reads, about 5 us.
#pragma once

#include "../args/attend_runs.h"
#include "../context/launcher.h"
#include "attend_list.h"
#include "attend_mma.h"
#include "attend_parts.h"
#include "attend_simt.h"

namespace kvasir::gpu {

struct AttendRunsKernelArgs {
  KvasirAttendRunsArgs op;
  int rowsOfSequence;  // lists
  AttendTarget target;
};

template <class Math>
struct AttendRuns {
  using Args = AttendRunsKernelArgs;
  using T = typename Math::T;
  using Tiles = typename Math::Tiles;

  static constexpr int kWarps = Tiles::kWarps;
  static constexpr int kThreads = kWarps * kWarp;
  static constexpr int kMinBlocks = Math::kMinBlocks;
  static constexpr unsigned kSharedBytes =
      Tiles::kRingElements * sizeof(T) + Math::kQueryBytes + kWarps * Math::kWarpFloats * 4 + KVASIR_LONG_SPLIT_TOKENS * 8;
  using Parts = AttendParts<kThreads>;

  static Plan plan(const Args& args) {
    Plan plan;
    plan.gridX = static_cast<unsigned>(args.op.numSequences * args.rowsOfSequence) * static_cast<unsigned>(args.target.maxSplits);
    plan.gridY = static_cast<unsigned>(ceilDiv(args.target.group, static_cast<int>(KVASIR_QUERY_HEADS)));
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

    AttendPlace place = attendPlace(cx, args.target);
    const int sequence = place.list / args.rowsOfSequence;
    const int kvHead = place.list % args.rowsOfSequence / (args.rowsOfSequence / op.kv.numKvHeads);
    const ListRows rows = {op.keys,
                           op.rows.runs,
                           op.rows.rowStarts[place.list],
                           op.rows.rowStarts[place.list + 1],
                           op.keys != nullptr ? nullptr : op.pages + op.pageStarts[sequence],
                           op.kv.base + static_cast<std::size_t>(op.layer) * op.kv.layerStride + static_cast<std::size_t>(kvHead) * op.kv.headStride,
                           op.kv.pageStride,
                           headDim * static_cast<int>(sizeof(T))};
    const ListPart part = ListReader<Cx, kWarps>::read(cx, rows, place.split, cx.template view<int>(words), addresses);
    if (part.tokens == 0 || part.splits > args.target.maxSplits) {
      if (place.split == 0) Parts::writeNothing(cx, args.target, place, part.tokens == 0);
      return;
    }
    if (part.count == 0) return;
    place.splits = part.splits;
    Math::loadQueries(cx, words, op.q + place.head * static_cast<std::size_t>(headDim), headDim, place.queries, op.scale * kLog2E);
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
    auto warpStats = warpOuts + kWarps * place.queries * headDim;
    cx.warps([&](int warp) {
      Math::finish(cx, regs, warpOuts + warp * place.queries * headDim, warpStats + 2 * warp * place.queries, headDim, place.queries);
    });
    cx.barrier();
    Parts::write(cx, args.target, place, warpOuts, warpStats, words);
  }
};

template <template <int> class Math>
int runAttendRuns(Launcher launcher, const AttendRunsKernelArgs& args) {
  const int headDim = args.op.kv.headDim;
  if (headDim <= 64) return launcher.run<AttendRuns<Math<4>>>(AttendRuns<Math<4>>::plan(args), args);
  if (headDim <= 128) return launcher.run<AttendRuns<Math<8>>>(AttendRuns<Math<8>>::plan(args), args);
  return launcher.run<AttendRuns<Math<16>>>(AttendRuns<Math<16>>::plan(args), args);
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

  const int rowsOfSequence = op.rows.perQueryHead != 0 ? op.numHeads : kv.numKvHeads;
  const int lists = op.numSequences * rowsOfSequence, group = op.numHeads / rowsOfSequence;
  const std::size_t needed = kvasirAttendWorkspaceBytes(lists, group, kv.headDim, op.maxTokens);
  if (op.workspaceBytes < needed) return launcher.refuse(needsWorkspace("attendRuns", op.workspaceBytes, needed));
  const AttendTarget target = attendTarget(op.out, op.lse, op.workspace, lists, group, kv.headDim, op.maxTokens);
  const AttendRunsKernelArgs args = {op, rowsOfSequence, target};
  if (kv.type == KVASIR_F32) return runAttendRuns<SimtOfFloats>(launcher, args);
  if (op.exact != 0) return runAttendRuns<SimtOfHalves>(launcher, args);
  return runAttendRuns<MmaAttention>(launcher, args);
}

}  // namespace kvasir::gpu
