// Decode attention over pages of eight bits. Codes become float16 as they are, exactly: scales of K's channels go into q, page
// by page (in two float16, as its zeros go into the scores), those of V's tokens into the weights.
// Bound: 36 headDim + 32 bytes a page and list at the speed of memory; some 25 instructions a query pair of 32 channels beside.
#pragma once

#include "../args/attend_runs_i8.h"
#include "../context/launcher.h"
#include "attend_parts.h"
#include "byte_tiles.h"
#include "elements.h"
#include "mma_softmax.h"
#include "page_list.h"

namespace kvasir::gpu {

struct AttendRunsI8KernelArgs {
  KvasirAttendRunsI8Args op;
  int rowsOfSequence;  // lists
  AttendTarget target;
};

template <int kSteps>
struct AttendRunsI8 {
  using Args = AttendRunsI8KernelArgs;
  using Tiles = ByteTiles<kSteps>;
  // Weights times V's scales, which reach 516, stay below 2^15.
  using Softmax = MmaSoftmax<kSteps, 5>;

  static constexpr int kWarps = Tiles::kWarps;
  static constexpr int kThreads = kWarps * kWarp;
  static constexpr int kMinBlocks = kSteps <= 8 ? 4 : 3;
  static constexpr int kBlocks = kSteps / 2;  // of 32 channels
  static constexpr int kQueryFloats = KVASIR_QUERY_HEADS * Tiles::kDim;
  static constexpr unsigned kSharedBytes = (Tiles::kRingWords + kQueryFloats + kMaxPartPages) * 4 + kMaxPartPages * 8;
  using Parts = AttendParts<kThreads>;

  // In a block of 32 channels lane l has channels 8 (l % 4) and the next seven of K and q, so that its bytes are neighbours:
  // the first four are k of one mma, the others of the next.
  struct Regs : Softmax::Regs {
    float rest[4], bias, biases[2];
    std::uint32_t rows[2][4], q[2][2], qRest[2][2];
  };

  static Plan plan(const Args& args) {
    Plan plan;
    plan.gridX = static_cast<unsigned>(args.op.numSequences * args.rowsOfSequence) * static_cast<unsigned>(args.target.maxSplits);
    plan.gridY = static_cast<unsigned>(ceilDiv(args.target.group, static_cast<int>(KVASIR_QUERY_HEADS)));
    plan.sharedBytes = kSharedBytes;
    return plan;
  }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const KvasirAttendRunsI8Args& op = args.op;
    const int headDim = op.kv.headDim;
    auto ring = cx.template shared<std::uint32_t>(Tiles::kRingWords);
    auto queries = cx.template shared<float>(kQueryFloats);
    auto masks = cx.template shared<std::uint32_t>(kMaxPartPages);
    auto tiles = cx.template shared<const std::uint8_t*>(kMaxPartPages);

    AttendPlace place = attendPlace(cx, args.target);
    const int sequence = place.list / args.rowsOfSequence;
    const int kvHead = place.list % args.rowsOfSequence / (args.rowsOfSequence / op.kv.numKvHeads);
    const PageRuns runs = {op.rows.runs, op.rows.rowStarts[place.list], op.rows.rowStarts[place.list + 1], op.pages + op.pageStarts[sequence],
                           op.kv.base + static_cast<std::size_t>(op.layer) * op.kv.layerStride + static_cast<std::size_t>(kvHead) * op.kv.headStride,
                           op.kv.pageStride};
    const ListPart part = PageListReader<Cx, kWarps>::read(cx, runs, place.split, cx.template view<int>(queries), tiles, masks);
    if (part.tokens == 0 || part.splits > args.target.maxSplits) {
      if (place.split == 0) Parts::writeNothing(cx, args.target, place, part.tokens == 0);
      return;
    }
    if (part.count == 0) return;
    place.splits = part.splits;
    loadQueries(cx, queries, op.q + place.head * static_cast<std::size_t>(headDim), headDim, place.queries, op.scale * kLog2E);
    cx.barrier();

    typename Cx::template Threads<Regs> regs(cx);
    Softmax::begin(cx, regs);
    cx.warps([&](int warp) {
      Tiles::each(
          cx, warp, ring, tiles, masks, part.count / KVASIR_PAGE_TOKENS, headDim,
          [&](auto slot, std::uint32_t mask) { score(cx, regs, slot, queries, headDim, mask); },
          [&](auto slot, std::uint32_t mask) { add(cx, regs, slot, headDim, mask); });
    });
    cx.barrier();
    auto warpOuts = cx.template view<float>(ring);
    auto warpStats = warpOuts + kWarps * place.queries * headDim;
    cx.warps([&](int warp) {
      // Rows r and r + 8 of an accumulator are neighbouring channels: see add().
      Softmax::finish(cx, regs, warpOuts + warp * place.queries * headDim, warpStats + 2 * warp * place.queries, headDim, place.queries,
                      [](int step, int row) { return 32 * (step / 2) + 4 * (row % 8) + 2 * (step % 2) + row / 8; });
    });
    cx.barrier();
    Parts::write(cx, args.target, place, warpOuts, warpStats, cx.template view<std::uint32_t>(queries));
  }

 private:
  // queries [block of 32][half][lane][4]: of query lane / 4, channels 8 (lane % 4) + 4 half on.
  template <class Cx>
  static KVASIR_DEVICE void loadQueries(Cx& cx, typename Cx::template Shared<float> queries, const float* q, int headDim, int count, float scale) {
    cx.each([&](int thread) {
      for (int i = thread; i < kBlocks * 2 * kWarp; i += kThreads) {
        const int lane = i % kWarp, query = lane / 4, channel = i / (2 * kWarp) * 32 + 8 * (lane % 4) + 4 * (i / kWarp % 2);
        float values[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        if (query < count && channel < headDim) loadFloats<4>(cx, q + query * headDim + channel, values);
        KVASIR_UNROLL
        for (int e = 0; e < 4; ++e) queries[4 * i + e] = values[e] * scale;
      }
    });
  }

  template <class Cx>
  static KVASIR_DEVICE void score(Cx& cx, typename Cx::template Threads<Regs>& regs, typename Cx::template Shared<std::uint32_t> slot,
                                  typename Cx::template Shared<float> queries, int headDim, std::uint32_t mask) {
    const int stride = Tiles::strideOf(headDim);
    auto scales = slot + KVASIR_PAGE_TOKENS * stride;
    cx.each(regs, [&](int, Regs& r) {
      r.bias = 0.0f;
      KVASIR_UNROLL
      for (int i = 0; i < 4; ++i) r.scores[i] = r.rest[i] = 0.0f;
    });
    KVASIR_UNROLL
    for (int block = 0; block < kBlocks; ++block) {
      if (32 * block >= headDim) break;
      cx.each(regs, [&](int thread, Regs& r) {
        const int lane = thread % kWarp, channel = 32 * block + 8 * (lane % 4);
        scaleQuery(cx, r, queries + 4 * (2 * block * kWarp + lane), scales + channel / 2, headDim / 2);
        KVASIR_UNROLL
        for (int half = 0; half < 2; ++half) {
          const Vec8 bytes = cx.load8(slot + (lane / 4 + 8 * half) * stride + channel / 4);
          KVASIR_UNROLL
          for (int step = 0; step < 2; ++step) cx.template bytesToHalves<false>(bytes.word[step], r.rows[step][half], r.rows[step][2 + half]);
        }
      });
      KVASIR_UNROLL
      for (int step = 0; step < 2; ++step) {
        const auto rows = [step](Regs& r) -> std::uint32_t(&)[4] { return r.rows[step]; };
        cx.mma16816(regs, &Regs::scores, rows, [step](Regs& r) -> std::uint32_t(&)[2] { return r.q[step]; });
        cx.mma16816(regs, &Regs::rest, rows, [step](Regs& r) -> std::uint32_t(&)[2] { return r.qRest[step]; });
      }
    }
    // What the zeros add to a query's scores, from the lanes that have its channels to those that have its scores.
    cx.template warpSum<4>(regs, &Regs::bias);
    KVASIR_UNROLL
    for (int j = 0; j < 2; ++j) {
      cx.shuffle(regs, &Regs::bias, [j](Regs& r) -> float& { return r.biases[j]; },
                 [j](int thread, const Regs&) { return 4 * (2 * (thread % 4) + j); });
    }
    cx.each(regs, [&](int thread, Regs& r) {
      KVASIR_UNROLL
      for (int i = 0; i < 4; ++i) {
        const bool there = (mask >> (thread % kWarp / 4 + i / 2 * 8) & 1u) != 0;
        r.scores[i] = there ? r.scores[i] + r.rest[i] + r.biases[i % 2] : -INFINITY;
      }
    });
  }

  // Eight channels of a query times their scales, in two float16 each, and what their zeros add.
  template <class Cx>
  static KVASIR_DEVICE void scaleQuery(Cx& cx, Regs& r, typename Cx::template Shared<float> query, typename Cx::template Shared<std::uint32_t> scales,
                                       int zeros) {
    float scale[8], zero[8];
    unpack<Half>(cx, cx.load16(scales), scale);
    unpack<Half>(cx, cx.load16(scales + zeros), zero);
    KVASIR_UNROLL
    for (int step = 0; step < 2; ++step) {
      const Vec16 q = cx.load16(query + 4 * kWarp * step);
      KVASIR_UNROLL
      for (int pair = 0; pair < 2; ++pair) {
        float scaled[2], rounded[2];
        KVASIR_UNROLL
        for (int e = 0; e < 2; ++e) {
          const float x = cx.asFloat(q.word[2 * pair + e]);
          scaled[e] = x * scale[4 * step + 2 * pair + e];
          r.bias = cx.fma(x, zero[4 * step + 2 * pair + e], r.bias);
        }
        r.q[step][pair] = cx.toHalves(scaled[0], scaled[1]);
        cx.toFloats(r.q[step][pair], rounded[0], rounded[1]);
        r.qRest[step][pair] = cx.toHalves(scaled[0] - rounded[0], scaled[1] - rounded[1]);
      }
    }
  }

  // Weights, once the scales of V's tokens are there too, and V's rows. Of a block of 32 channels lane l has channels 4 (l / 4)
  // and the next three of its four tokens: the first two are rows l / 4 and l / 4 + 8 of one mma, the others of the next.
  template <class Cx>
  static KVASIR_DEVICE void add(Cx& cx, typename Cx::template Threads<Regs>& regs, typename Cx::template Shared<std::uint32_t> slot, int headDim,
                                std::uint32_t mask) {
    const int stride = Tiles::strideOf(headDim);
    auto scales = slot + KVASIR_PAGE_TOKENS * stride;
    Softmax::weigh(cx, regs, [&](int row) {
      // The scale of a token that is left out may be anything.
      const std::uint32_t pair = scales[row / 2];
      return (mask >> row & 1u) != 0 ? cx.toFloat(Half{static_cast<std::uint16_t>(pair >> (row % 2 * 16))}) : 0.0f;
    });
    KVASIR_UNROLL
    for (int block = 0; block < kBlocks; ++block) {
      if (32 * block >= headDim) break;
      cx.each(regs, [&](int thread, Regs& r) {
        const int lane = thread % kWarp;
        KVASIR_UNROLL
        for (int half = 0; half < 2; ++half) {
          auto at = slot + (2 * (lane % 4) + 8 * half) * stride + 8 * block + lane / 4;
          const std::uint32_t first = at[0], second = at[stride];
          std::uint32_t pairs[2];
          cx.interleaveBytes(first, second, pairs[0], pairs[1]);
          KVASIR_UNROLL
          for (int step = 0; step < 2; ++step) cx.template bytesToHalves<true>(pairs[step], r.rows[step][2 * half], r.rows[step][2 * half + 1]);
        }
      });
      KVASIR_UNROLL
      for (int step = 0; step < 2; ++step) {
        cx.mma16816(regs, [step, block](Regs& r) -> float(&)[4] { return r.out[2 * block + step]; },
                    [step](Regs& r) -> std::uint32_t(&)[4] { return r.rows[step]; }, &Regs::across);
      }
    }
  }
};

inline int launchAttendRunsI8(Launcher launcher, const KvasirAttendRunsI8Args& op) {
  const KvasirI8View& kv = op.kv;
  const char* wrong = wrongI8Pages(kv);
  if (wrong != nullptr) return launcher.refuse(std::string("attendRunsI8: ") + wrong);
  if (kv.numKvHeads <= 0 || op.numHeads <= 0 || op.numHeads % kv.numKvHeads != 0) {
    return launcher.refuse("attendRunsI8: numHeads must be a multiple of numKvHeads");
  }
  if (op.numSequences < 0 || op.maxPages < 0) return launcher.refuse("attendRunsI8: numSequences and maxPages must not be negative");
  if (op.numSequences == 0) return KVASIR_GPU_OK;
  const int rowsOfSequence = op.rows.perQueryHead != 0 ? op.numHeads : kv.numKvHeads;
  const int lists = op.numSequences * rowsOfSequence, group = op.numHeads / rowsOfSequence, maxTokens = KVASIR_PAGE_TOKENS * op.maxPages;
  const std::size_t needed = kvasirAttendWorkspaceBytes(lists, group, kv.headDim, maxTokens);
  if (op.workspaceBytes < needed) return launcher.refuse(needsWorkspace("attendRunsI8", op.workspaceBytes, needed));
  const AttendRunsI8KernelArgs args = {op, rowsOfSequence, attendTarget(op.out, op.lse, op.workspace, lists, group, kv.headDim, maxTokens)};
  if (kv.headDim <= 64) return launcher.run<AttendRunsI8<4>>(AttendRunsI8<4>::plan(args), args);
  if (kv.headDim <= 128) return launcher.run<AttendRunsI8<8>>(AttendRunsI8<8>::plan(args), args);
  return launcher.run<AttendRunsI8<16>>(AttendRunsI8<16>::plan(args), args);
}

}  // namespace kvasir::gpu
