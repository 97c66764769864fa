// Column sums of softmax weights in float32: a block owns 32 keys, one a lane; its warps take eight rows at a time in turn.
#pragma once

#include "elements.h"
#include "mass_mma.h"

namespace kvasir::gpu {

template <class T, int kDims>
struct MassSimt {
  using Args = MassArgs;
  static constexpr int kWarps = 4;
  static constexpr int kThreads = kWarps * kWarp;
  static constexpr int kMinBlocks = 2;
  static constexpr int kKeys = 32;
  static constexpr int kRows = 8;
  static constexpr int kPerVec = kPerVector<T>;
  static constexpr unsigned kSharedBytes = kKeys * kDims * sizeof(T) + kWarps * kKeys * 4;

  struct Regs {
    float sum;
  };

  static Plan plan(const Args& args) {
    return {static_cast<unsigned>(ceilDiv(args.op.maxTokens, kKeys)), static_cast<unsigned>(args.op.kv.numKvHeads), kSharedBytes};
  }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const KvasirAttentionMassArgs& op = args.op;
    auto keys = cx.template shared<T>(kKeys * kDims);
    auto sums = cx.template shared<float>(kWarps * kKeys);
    const int start = cx.blockX() * kKeys, kvHead = cx.blockY();
    const int low = firstSeen(indexOfRow(op.batch, 0, 0), op.windowTokens), stop = indexOfRow(op.batch, 0, args.rows - 1) + 1;
    if (start >= stop || start + kKeys <= low) return;
    const KeyTileLayout layout = keyTileLayoutOf(op.kv.headDim / kPerVec);
    const HeadPages head = headPagesOf(op.kv, op.layer, kvHead, op.batch.pages + op.batch.pageStarts[0]);
    loadTile<T, kKeys, kThreads, kDims / kPerVec>(cx, keys, layout, head, 0, start, low, stop);
    cx.commit();
    cx.waitAsync(0);
    cx.barrier();

    typename Cx::template Threads<Regs> regs(cx);
    for (int i = 0; i < args.group; ++i) {
      const int queryHead = kvHead * args.group + i;
      cx.each(regs, [&](int thread, Regs& r) {
        r.sum = 0.0f;
        for (int row = thread / kWarp * kRows; row < args.rows; row += kWarps * kRows) {
          const int highLast = indexOfRow(op.batch, 0, least(row + kRows, args.rows) - 1);
          const int lowFirst = firstSeen(indexOfRow(op.batch, 0, row), op.windowTokens);
          if (start <= highLast && start + kKeys > lowFirst) r.sum = addRows(cx, args, keys, layout, queryHead, row, start + thread % kWarp, r.sum);
        }
        sums[thread] = r.sum;
      });
      cx.barrier();
      cx.each([&](int thread) {
        if (thread >= kKeys || start + thread < low || start + thread >= stop) return;
        float sum = 0.0f;
        for (int warp = 0; warp < kWarps; ++warp) sum += sums[warp * kKeys + thread];
        op.mass[static_cast<std::size_t>(queryHead) * op.massStride + static_cast<std::size_t>(start + thread)] += sum;
      });
      cx.barrier();
    }
  }

 private:
  template <class Cx>
  static KVASIR_DEVICE float addRows(Cx& cx, const Args& args, typename Cx::template Shared<T> keys, const KeyTileLayout& layout, int queryHead,
                                     int firstRow, int key, float sum) {
    const KvasirAttentionMassArgs& op = args.op;
    const std::size_t headDim = static_cast<std::size_t>(op.kv.headDim), heads = static_cast<std::size_t>(op.numHeads);
    float scores[kRows];
    KVASIR_UNROLL
    for (int i = 0; i < kRows; ++i) scores[i] = 0.0f;
    for (int vector = 0; vector < layout.vectors; ++vector) {
      float values[kPerVec];
      unpack<T>(cx, cx.load16(keys + layout.at(key % kKeys, vector) * kPerVec), values);
      KVASIR_UNROLL
      for (int i = 0; i < kRows; ++i) {
        const std::size_t row = static_cast<std::size_t>(least(firstRow + i, args.rows - 1));
        const float* q = op.q + (row * heads + static_cast<std::size_t>(queryHead)) * headDim + vector * kPerVec;
        KVASIR_UNROLL
        for (int j = 0; j < kPerVec; j += 4) {
          const Vec16 four = cx.load16(q + j);
          KVASIR_UNROLL
          for (int k = 0; k < 4; ++k) scores[i] = cx.fma(cx.asFloat(four.word[k]), values[j + k], scores[i]);
        }
      }
    }
    KVASIR_UNROLL
    for (int i = 0; i < kRows; ++i) {
      if (firstRow + i >= args.rows) break;
      const int row = firstRow + i, index = indexOfRow(op.batch, 0, row);
      if (key > index || key < firstSeen(index, op.windowTokens)) continue;
      const float lse = args.lse[static_cast<std::size_t>(row) * heads + static_cast<std::size_t>(queryHead)];
      sum += cx.exp2(scores[i] * (op.scale * kLog2E) - lse * kLog2E);
    }
    return sum;
  }
};

}  // namespace kvasir::gpu
