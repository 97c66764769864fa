// Softmax over listed rows: blocks of 128 rows write their scores, the last block of a KV head turns them into weights.
// Bound: rows headDim bytes a KV head at the speed of memory, then its rows times group floats by one block.
#pragma once

#include <cmath>

#include "../args/attention_weights.h"
#include "../context/launcher.h"
#include "attend_simt.h"
#include "last_block.h"

namespace kvasir::gpu {

template <class Element, int kSteps>
struct AttentionWeights {
  using Args = KvasirAttentionWeightsArgs;
  using T = Element;
  using Math = SimtAttention<T, kSteps>;
  using Tiles = typename Math::Tiles;

  static constexpr int kWarps = Tiles::kWarps;
  static constexpr int kThreads = kWarps * kWarp;
  static constexpr int kMinBlocks = 3;
  static constexpr int kRows = 128;  // of a block
  static constexpr unsigned kSharedBytes = Tiles::kRingElements * sizeof(T) + Math::kQueryBytes + kRows * 8;

  static Plan plan(const Args& args) {
    Plan plan;
    plan.gridX = static_cast<unsigned>(args.kv.numKvHeads) * static_cast<unsigned>(ceilDiv(args.maxRows, kRows));
    plan.gridY = static_cast<unsigned>(ceilDiv(args.numHeads / args.kv.numKvHeads, static_cast<int>(KVASIR_QUERY_HEADS)));
    plan.sharedBytes = kSharedBytes;
    return plan;
  }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const int headDim = args.kv.headDim, group = args.numHeads / args.kv.numKvHeads;
    auto ring = cx.template shared<T>(Tiles::kRingElements);
    auto words = cx.template shared<std::uint32_t>(Math::kQueryBytes / 4);
    auto addresses = cx.template shared<const std::uint8_t*>(kRows);

    const int blocks = ceilDiv(args.maxRows, kRows), kvHead = cx.blockX() / blocks, block = cx.blockX() % blocks;
    const int firstHead = cx.blockY() * KVASIR_QUERY_HEADS;
    const int queries = least(group - firstHead, static_cast<int>(KVASIR_QUERY_HEADS));
    const int start = args.starts[kvHead], rows = args.starts[kvHead + 1] - start;
    const int first = block * kRows, count = least(kRows, rows - first);
    if (count <= 0 || rows > args.maxRows) return;

    const std::uint8_t* base = args.kv.base + static_cast<std::size_t>(args.layer) * args.kv.layerStride +
                               static_cast<std::size_t>(kvHead) * args.kv.headStride;
    cx.each([&](int thread) {
      for (int i = thread; i < count; i += kThreads) {
        const int index = args.indices[start + first + i];
        addresses[i] = base + static_cast<std::size_t>(args.pages[index / KVASIR_PAGE_TOKENS]) * args.kv.pageStride +
                       static_cast<std::size_t>(index % KVASIR_PAGE_TOKENS * headDim) * sizeof(T);
      }
    });
    Math::loadQueries(cx, words, args.q + static_cast<std::size_t>((kvHead * group + firstHead) * headDim), headDim, queries,
                      args.scale * kLog2E);
    cx.barrier();

    // Scores of query j of this block's [rows], in units of log2.
    float* out = args.out + static_cast<std::size_t>(group) * static_cast<std::size_t>(start) +
                 static_cast<std::size_t>(firstHead) * static_cast<std::size_t>(rows);
    typename Cx::template Threads<typename Math::Regs> regs(cx);
    const typename Tiles::Layout layout = Tiles::layoutOf(headDim);
    cx.warps([&](int warp) {
      Tiles::template each<false>(
          cx, warp, ring, addresses, count, 0, layout,
          [&](auto slot, int token, int tokens) {
            Math::scoreRows(cx, regs, slot, layout, words, headDim, tokens);
            cx.each(regs, [&](int thread, typename Math::Regs& r) {
              const int lane = thread % kWarp;
              KVASIR_UNROLL
              for (int j = 0; j < Math::kQueries / 2; ++j) {
                const int h = lane / 16 + 2 * j;
                if (h >= queries || lane % 16 >= tokens) continue;
                out[static_cast<std::size_t>(h) * static_cast<std::size_t>(rows) + static_cast<std::size_t>(first + token + lane % 16)] = r.scores[j];
              }
            });
          },
          [](auto, int) {});
    });

    std::uint32_t* ticket = static_cast<std::uint32_t*>(args.workspace) + kvHead * cx.gridY() + cx.blockY();
    if (!isLastBlock(cx, words, ticket, static_cast<std::uint32_t>(ceilDiv(rows, kRows)))) return;
    typename Cx::template Threads<SoftmaxRegs> softmax(cx);
    cx.warps([&](int warp) {
      for (int h = warp; h < queries; h += kWarps) normalise(cx, softmax, out + static_cast<std::size_t>(h) * static_cast<std::size_t>(rows), rows);
    });
  }

 private:
  struct SoftmaxRegs {
    float max, sum;
  };

  template <class Cx, class Threads>
  static KVASIR_DEVICE void normalise(Cx& cx, Threads& regs, float* row, int count) {
    cx.each(regs, [&](int thread, SoftmaxRegs& r) {
      r.max = -INFINITY;
      for (int i = thread % kWarp; i < count; i += kWarp) r.max = most(r.max, row[i]);
    });
    cx.warpMax(regs, &SoftmaxRegs::max);
    cx.each(regs, [&](int thread, SoftmaxRegs& r) {
      r.sum = 0.0f;
      for (int i = thread % kWarp; i < count; i += kWarp) r.sum += cx.exp2(row[i] - r.max);
    });
    cx.warpSum(regs, &SoftmaxRegs::sum);
    cx.each(regs, [&](int thread, SoftmaxRegs& r) {
      for (int i = thread % kWarp; i < count; i += kWarp) row[i] = cx.exp2(row[i] - r.max) / r.sum;
    });
  }
};

template <class T>
int runAttentionWeights(Launcher launcher, const KvasirAttentionWeightsArgs& args) {
  if (args.kv.headDim <= 64) return launcher.run<AttentionWeights<T, 4>>(AttentionWeights<T, 4>::plan(args), args);
  if (args.kv.headDim <= 128) return launcher.run<AttentionWeights<T, 8>>(AttentionWeights<T, 8>::plan(args), args);
  return launcher.run<AttentionWeights<T, 16>>(AttentionWeights<T, 16>::plan(args), args);
}

inline int launchAttentionWeights(Launcher launcher, const KvasirAttentionWeightsArgs& args) {
  const KvasirKvView& kv = args.kv;
  const char* wrong = wrongAttention(kv, args.numHeads);
  if (wrong != nullptr) return launcher.refuse(std::string("attentionWeights: ") + wrong);
  if (args.maxRows < 0) return launcher.refuse("attentionWeights: maxRows is negative");
  if (args.workspaceBytes < kvasirAttendTicketBytes(kv.numKvHeads, args.numHeads / kv.numKvHeads)) {
    return launcher.refuse("attentionWeights: the workspace is too small");
  }
  if (args.maxRows == 0) return KVASIR_GPU_OK;
  return kv.type == KVASIR_F16 ? runAttentionWeights<Half>(launcher, args) : runAttentionWeights<float>(launcher, args);
}

}  // namespace kvasir::gpu
