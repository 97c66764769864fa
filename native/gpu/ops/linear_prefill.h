// Many rows, fast: 128 outputs times 8 kRowTiles rows a block (96: 128 would spill), a warp 32 outputs and all rows. Weights lie as mma takes them, so
// that a warp copies its own tiles as they are and makes f16 of them in registers, once a block; x is shared by the warps.
// Copies run kStages - 1 tiles of 64 columns ahead. A sum runs over the columns in order, whatever kRowTiles.
// Bound: mma, 64 of them for 16 vector loads of shared memory (two thirds of what it gives) and about 60 other instructions.
#pragma once

#include "linear_parts.h"

namespace kvasir::gpu {

template <int kRowTiles>
struct LinearPrefill {
  using Args = LinearArgs;

  static constexpr int kWarps = 4, kThreads = kWarps * kWarp, kMinBlocks = 2;
  static constexpr int kGroups = 2, kRows = 8 * kRowTiles;  // groups of 16 outputs a warp, rows of x a block
  static constexpr int kRowWords = kTileCols / 2, kInputWords = kRows * kRowWords;
  static constexpr int kMaxStages = 3;
  static constexpr unsigned kSharedBytes = 88 * 1024;  // two stages of f32, three of the rest

  struct Regs {
    float sums[kGroups][kRowTiles][4];
    std::uint32_t left[kGroups][2][4];
    std::uint32_t right[2][2];
  };

  static int blocksOf(int rows) { return ceilDiv(groupsOf(rows), kWarps * kGroups); }
  static Plan plan(LinearArgs& args) {
    int groupWords = 0;
    Plan plan{0, static_cast<unsigned>(ceilDiv(args.rows, kRows)), 0};
    for (int p = 0; p < args.numParts; ++p) {
      const TileLayout layout = tileLayoutOf(args.parts[p].type);
      groupWords = most(groupWords, layout.headWords() + layout.tileWords());
      plan.gridX += static_cast<unsigned>(args.parts[p].blocks);
    }
    args.stageWords = kInputWords + kWarps * kGroups * groupWords;
    args.stages = least(kMaxStages, static_cast<int>(kSharedBytes) / (4 * args.stageWords));
    plan.sharedBytes = static_cast<unsigned>(4 * args.stages * args.stageWords);
    return plan;
  }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    typename Cx::template Threads<Regs> regs(cx);
    auto stages = cx.template shared<std::uint32_t>(args.stages * args.stageWords);
    int block = cx.blockX();
    const LinearPartArgs& part = partOf(args, block);
    const TileLayout layout = tileLayoutOf(part.type);
    const int lastGroup = groupsOf(part.rows) - 1, firstGroup = block * kWarps * kGroups, firstRow = cx.blockY() * kRows;
    const int tileWords = layout.tileWords(), headWords = layout.headWords();
    const std::size_t groupWords = layout.groupWords(args.tiles);

    const auto copyStage = [&](int tile) {
      if (tile < args.tiles) {
        auto stage = stages + tile % args.stages * args.stageWords;
        const std::size_t headAt = layout.headOf(tile), tileAt = layout.tileOf(tile);
        cx.each([&](int thread) {
          copyInput(cx, args, stage, tile, firstRow, thread);
          const int lane = thread % kWarp;
          KVASIR_UNROLL
          for (int m = 0; m < kGroups; ++m) {
            const int own = thread / kWarp * kGroups + m;
            // Groups behind the last one are that one again; nothing of them is stored.
            const std::uint32_t* group = part.weights + static_cast<std::size_t>(least(firstGroup + own, lastGroup)) * groupWords;
            auto to = stage + kInputWords + own * (headWords + tileWords);
            if (4 * lane < headWords) cx.copyAsync(to + 4 * lane, group + headAt + 4 * lane);
            for (int w = 4 * lane; w < tileWords; w += 4 * kWarp) cx.copyAsync(to + headWords + w, group + tileAt + w);
          }
        });
      }
      cx.commit();
    };

    cx.each(regs, [&](int, Regs& r) {
      KVASIR_UNROLL
      for (int i = 0; i < kGroups * kRowTiles * 4; ++i) r.sums[i / (4 * kRowTiles)][i / 4 % kRowTiles][i % 4] = 0.0f;
    });
    for (int tile = 0; tile < args.stages - 1; ++tile) copyStage(tile);
    for (int tile = 0; tile < args.tiles; ++tile) {
      if (args.stages == kMaxStages) cx.waitAsync(kMaxStages - 2);
      else cx.waitAsync(0);
      cx.barrier();
      copyStage(tile + args.stages - 1);
      auto stage = stages + tile % args.stages * args.stageWords;
      cx.warps([&](int warp) { addTile(cx, regs, part.type, stage, stage + kInputWords + warp * kGroups * (headWords + tileWords), headWords, tileWords); });
    }
    cx.waitAsync(0);
    cx.each(regs, [&](int thread, Regs& r) {
      const int g = thread % kWarp / 4, t = thread % 4;
      KVASIR_UNROLL
      for (int m = 0; m < kGroups; ++m) {
        const int group = firstGroup + thread / kWarp * kGroups + m;
        KVASIR_UNROLL
        for (int i = 0; i < 4 * kRowTiles; ++i) {
          const int row = firstRow + i / 4 * 8 + 2 * t + i % 2, n = group * kGroupRows + g + i % 4 / 2 * 8;
          if (row < args.rows && n < part.rows) storeOutput(part, row, n, r.sums[m][i / 4][i % 4] * args.scales[row]);
        }
      }
    });
  }

 private:
  // Rows of 128 bytes; vectors of odd rows change places, so that eight lanes of two rows meet all banks.
  static KVASIR_DEVICE int inputAt(int row, int vector) { return row * kRowWords + 4 * (vector ^ (row & 1)); }

  template <class Cx, class Shared>
  static KVASIR_DEVICE void copyInput(Cx& cx, const Args& args, Shared stage, int tile, int firstRow, int thread) {
    KVASIR_UNROLL
    for (int v = 0; v < kRows * 8 / kThreads; ++v) {
      const int vector = v * kThreads + thread, row = vector / 8;
      const bool there = firstRow + row < args.rows;
      const std::size_t from = there ? static_cast<std::size_t>(firstRow + row) * static_cast<std::size_t>(args.tiles) : 0;
      cx.copyAsync(stage + inputAt(row, vector % 8), args.halves + (from + static_cast<std::size_t>(tile)) * kTileCols + 8 * (vector % 8),
                   there ? 16 : 0);
    }
  }

  template <class Cx, class Shared>
  static KVASIR_DEVICE void addTile(Cx& cx, typename Cx::template Threads<Regs>& regs, int type, Shared input, Shared weights, int headWords,
                                    int tileWords) {
    for (int v = 0; v < 2; ++v) {  // two steps
      cx.each(regs, [&](int thread, Regs& r) {
        withStoredType(type, [&](auto stored) {
          KVASIR_UNROLL
          for (int m = 0; m < kGroups; ++m) {
            TileSteps<decltype(stored)::value, 2> steps;
            auto head = weights + m * (headWords + tileWords);
            steps.load(cx, head + headWords, head, thread % kWarp, 2 * v);
            std::uint32_t scale[2], min[2];
            halfScales(cx, steps.rowScales(cx), scale, min);
            leftOperand(cx, steps, scale, min, 0, r.left[m][0]);
            leftOperand(cx, steps, scale, min, 1, r.left[m][1]);
          }
        });
      });
      KVASIR_UNROLL
      for (int tile = 0; tile < kRowTiles; ++tile) {
        cx.each(regs, [&](int thread, Regs& r) {
          const int g = thread % kWarp / 4, t = thread % 4;
          const Vec16 words = cx.load16(input + inputAt(8 * tile + g, 2 * t + v));
          KVASIR_UNROLL
          for (int i = 0; i < 4; ++i) r.right[i / 2][i % 2] = words.word[i];
        });
        KVASIR_UNROLL
        for (int i = 0; i < 2 * kGroups; ++i) {
          const int s = i / kGroups, m = i % kGroups;
          cx.mma16816(regs, [=](Regs& r) -> float(&)[4] { return r.sums[m][tile]; }, [=](Regs& r) -> std::uint32_t(&)[4] { return r.left[m][s]; },
                      [=](Regs& r) -> std::uint32_t(&)[2] { return r.right[s]; });
        }
      }
    }
  }
};

}  // namespace kvasir::gpu
