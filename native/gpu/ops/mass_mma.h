// Column sums of softmax weights on tensor cores: S^T = K Q^T, so that a thread adds up what its keys get in registers. A
// block owns its keys and goes through the queries of its KV head, which packQueries left in float16.
#pragma once

#include <cmath>

#include "../args/attention_mass.h"
#include "../context/launcher.h"
#include "kv_tiles.h"
#include "merge_parts.h"
#include "query_tile.h"

namespace kvasir::gpu {

struct MassArgs {
  KvasirAttentionMassArgs op;
  int group;
  int rows;                // those of the batch
  std::size_t packedRows;  // a multiple of 64
  const float* lse;        // [rows][numHeads] natural
  std::uint16_t* q;        // [numHeads][packedRows][headDim] float16, scaled
  float* lse2;             // [numHeads][packedRows] to base 2; infinity for rows that only fill up
  std::int32_t* first;     // [packedRows] indices seen; rows that only fill up see what the last one does
  std::int32_t* last;
};

struct PackQueries {
  using Args = MassArgs;
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 8;
  static constexpr unsigned kSharedBytes = 0;

  static Plan plan(const Args& args) {
    const std::size_t vectors = args.packedRows * static_cast<std::size_t>(args.op.numHeads) * static_cast<std::size_t>(args.op.kv.headDim / 8);
    return {static_cast<unsigned>(ceilDiv(vectors, static_cast<std::size_t>(kThreads))), 1, 0};
  }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const KvasirAttentionMassArgs& op = args.op;
    const std::size_t vectors = static_cast<std::size_t>(op.kv.headDim / 8);
    const float scale = op.scale * kLog2E;
    cx.each([&](int thread) {
      const std::size_t at = static_cast<std::size_t>(cx.blockX()) * kThreads + static_cast<std::size_t>(thread);
      const std::size_t vector = at % vectors, row = at / vectors % args.packedRows, head = at / vectors / args.packedRows;
      if (head >= static_cast<std::size_t>(op.numHeads)) return;
      const bool there = row < static_cast<std::size_t>(args.rows);
      const std::size_t place = row * static_cast<std::size_t>(op.numHeads) + head;
      Vec16 halves = {{0, 0, 0, 0}};
      if (there) {
        const float* from = op.q + (place * vectors + vector) * 8;
        const Vec16 low = cx.load16(from), high = cx.load16(from + 4);
        KVASIR_UNROLL
        for (int j = 0; j < 2; ++j) {
          halves.word[j] = cx.toHalves(cx.asFloat(low.word[2 * j]) * scale, cx.asFloat(low.word[2 * j + 1]) * scale);
          halves.word[2 + j] = cx.toHalves(cx.asFloat(high.word[2 * j]) * scale, cx.asFloat(high.word[2 * j + 1]) * scale);
        }
      }
      cx.store16(args.q + at * 8, halves);
      if (vector != 0) return;
      args.lse2[head * args.packedRows + row] = there ? args.lse[place] * kLog2E : INFINITY;
      if (head != 0) return;
      const int index = indexOfRow(op.batch, 0, least(static_cast<int>(row), args.rows - 1));
      args.first[row] = firstSeen(index, op.windowTokens);
      args.last[row] = index;
    });
  }
};

// Bound, few rows: 2 headDim bytes a key and KV head at the speed of memory; many rows: 2 headDim operations a pair of row and
// key at the rate of mma.sync.
template <int kSteps>
struct MassMma {
  using Args = MassArgs;
  static constexpr int kTiles = kSteps <= 8 ? 2 : 1;  // of 16 keys, a warp
  static constexpr int kWarps = 4;
  static constexpr int kThreads = kWarps * kWarp;
  static constexpr int kMinBlocks = 2;
  static constexpr int kWarpKeys = 16 * kTiles;
  static constexpr int kBlockKeys = kWarps * kWarpKeys;
  static constexpr int kRows = kSteps <= 8 ? 64 : 32;  // of a tile of queries
  static constexpr int kMostVectors = 2 * kSteps;
  static constexpr int kSlots = 3;
  static constexpr int kSlotElements = kRows * kMostVectors * 8;
  static constexpr unsigned kSharedBytes = (kBlockKeys * kMostVectors * 8 + kSlots * kSlotElements) * 2 + kSlots * kRows * 12;

  // A thread has keys lane / 4 and lane / 4 + 8 of each of its tiles, queries 2 (lane % 4) and the next of every eight.
  struct Regs {
    std::uint32_t keys[kTiles][kSteps][4];
    float scores[kTiles][kRows / 8][4];
    std::uint32_t rows[4];
    float sums[kTiles][2];
  };

  static Plan plan(const Args& args) {
    return {static_cast<unsigned>(ceilDiv(args.op.maxTokens, kBlockKeys)), static_cast<unsigned>(args.op.kv.numKvHeads), kSharedBytes};
  }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const KvasirAttentionMassArgs& op = args.op;
    auto keys = cx.template shared<Half>(kBlockKeys * kMostVectors * 8);
    auto ring = cx.template shared<Half>(kSlots * kSlotElements);
    auto lses = cx.template shared<float>(kSlots * kRows);
    auto firsts = cx.template shared<int>(kSlots * kRows);
    auto lasts = cx.template shared<int>(kSlots * kRows);

    const int start = cx.blockX() * kBlockKeys, kvHead = cx.blockY(), tiles = static_cast<int>(args.packedRows) / kRows;
    const int low = args.first[0], stop = args.last[args.packedRows - 1] + 1;
    if (start >= stop || start + kBlockKeys <= low) return;
    // Tiles of queries that see one of these keys: indices ascend.
    const int begin = firstTile(tiles, [&](int t) { return args.last[t * kRows + kRows - 1] >= start; });
    const int end = firstTile(tiles, [&](int t) { return args.first[t * kRows] >= start + kBlockKeys; });
    if (begin >= end) return;

    const int headDim = op.kv.headDim, groups = (end - begin) * args.group;
    const KeyTileLayout layout = keyTileLayoutOf(headDim / 8);
    int issued = 0, filled = 0, nextTile = begin, nextHead = 0;
    const auto issue = [&] {
      if (issued++ < groups) {
        const std::size_t head = static_cast<std::size_t>(kvHead * args.group + nextHead);
        const std::size_t row = static_cast<std::size_t>(nextTile) * kRows, at = head * args.packedRows + row;
        loadQueries(cx, ring + filled * kSlotElements, layout, args.q + at * static_cast<std::size_t>(headDim));
        cx.each([&](int thread) {
          if (thread >= kRows / 4) return;
          cx.copyAsync(lses + filled * kRows + 4 * thread, args.lse2 + at + 4 * thread);
          cx.copyAsync(firsts + filled * kRows + 4 * thread, args.first + row + 4 * thread);
          cx.copyAsync(lasts + filled * kRows + 4 * thread, args.last + row + 4 * thread);
        });
        if (++nextTile == end) {
          nextTile = begin;
          ++nextHead;
        }
      }
      cx.commit();
      filled = filled + 1 == kSlots ? 0 : filled + 1;
    };
    const HeadPages head = headPagesOf(op.kv, op.layer, kvHead, op.batch.pages + op.batch.pageStarts[0]);
    KVASIR_UNROLL
    for (int part = 0; part < kTiles; ++part) {
      // Pages behind the last key are unknown: loadTile needs a row that is there.
      loadTile<Half, 64, kThreads, kMostVectors>(cx, keys + part * 64 * layout.stride * 8, layout, head, 0, start + 64 * part, low, stop);
    }
    for (int i = 0; i < kSlots - 1; ++i) issue();
    cx.waitAsync(kSlots - 2);
    cx.barrier();

    typename Cx::template Threads<Regs> regs(cx);
    loadKeys(cx, regs, keys, layout);
    clear(cx, regs);
    int read = 0, tile = begin, queryHead = kvHead * args.group;
    for (int group = 0; group < groups; ++group) {
      cx.waitAsync(kSlots - 2);
      cx.barrier();
      issue();
      cx.warps([&](int warp) {
        addTile(cx, regs, ring + read * kSlotElements, layout, lses + read * kRows, firsts + read * kRows, lasts + read * kRows,
                start + warp * kWarpKeys);
      });
      read = read + 1 == kSlots ? 0 : read + 1;
      if (++tile < end) continue;
      writeSums(cx, regs, op.mass + static_cast<std::size_t>(queryHead) * op.massStride, start, low, stop);
      clear(cx, regs);
      tile = begin;
      ++queryHead;
    }
    cx.waitAsync(0);
  }

 private:
  // The first for which `holds`, that then does for all behind it; `tiles` where there is none.
  template <class Holds>
  static KVASIR_DEVICE int firstTile(int tiles, const Holds& holds) {
    int low = 0, high = tiles;
    while (low < high) {
      const int middle = (low + high) / 2;
      if (holds(middle)) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  template <class Cx>
  static KVASIR_DEVICE void loadQueries(Cx& cx, typename Cx::template Shared<Half> slot, const KeyTileLayout& layout, const std::uint16_t* from) {
    cx.each([&](int thread) {
      KVASIR_UNROLL
      for (int pass = 0; pass < kRows / (kThreads / 8); ++pass) {
        const int row = pass * (kThreads / 8) + thread / 8;
        KVASIR_UNROLL
        for (int i = 0; i < ceilDiv(kMostVectors, 8); ++i) {
          const int vector = 8 * i + thread % 8;
          if (vector < layout.vectors) cx.copyAsync(slot + layout.at(row, vector) * 8, from + (row * layout.vectors + vector) * 8);
        }
      }
    });
  }

  template <class Cx>
  static KVASIR_DEVICE void loadKeys(Cx& cx, typename Cx::template Threads<Regs>& regs, typename Cx::template Shared<Half> keys,
                                     const KeyTileLayout& layout) {
    KVASIR_UNROLL
    for (int t = 0; t < kTiles; ++t) {
      KVASIR_UNROLL
      for (int step = 0; step < kSteps; ++step) {
        if (2 * step >= layout.vectors) break;
        cx.ldmatrix4(regs, [t, step](Regs& r) -> std::uint32_t(&)[4] { return r.keys[t][step]; }, [&, t, step](int thread, const Regs&) {
          const int lane = thread % kWarp, row = thread / kWarp * kWarpKeys + 16 * t + lane % 16;
          return keys + layout.at(row, 2 * step + lane / 16) * 8;
        });
      }
    }
  }

  template <class Cx>
  static KVASIR_DEVICE void clear(Cx& cx, typename Cx::template Threads<Regs>& regs) {
    cx.each(regs, [&](int, Regs& r) {
      KVASIR_UNROLL
      for (int t = 0; t < kTiles; ++t) r.sums[t][0] = r.sums[t][1] = 0.0f;
    });
  }

  struct Rows {
    int first;
    KVASIR_DEVICE std::uint32_t (&operator()(Regs& r) const)[2] { return reinterpret_cast<std::uint32_t(&)[2]>(r.rows[first]); }
  };

  // What the warp's keys, from index `own` on, get of a tile of queries.
  template <class Cx>
  static KVASIR_DEVICE void addTile(Cx& cx, typename Cx::template Threads<Regs>& regs, typename Cx::template Shared<Half> slot,
                                    const KeyTileLayout& layout, typename Cx::template Shared<float> lse,
                                    typename Cx::template Shared<int> first, typename Cx::template Shared<int> last, int own) {
    const int lowFirst = first[0], highFirst = first[kRows - 1], lowLast = last[0], highLast = last[kRows - 1];
    if (own > highLast || own + kWarpKeys <= lowFirst) return;
    const bool all = own >= highFirst && own + kWarpKeys - 1 <= lowLast;
    cx.each(regs, [&](int, Regs& r) {
      KVASIR_UNROLL
      for (int t = 0; t < kTiles; ++t) {
        KVASIR_UNROLL
        for (int n = 0; n < kRows / 8; ++n) {
          KVASIR_UNROLL
          for (int i = 0; i < 4; ++i) r.scores[t][n][i] = 0.0f;
        }
      }
    });
    KVASIR_UNROLL
    for (int step = 0; step < kSteps; ++step) {
      if (2 * step >= layout.vectors) break;
      KVASIR_UNROLL
      for (int pair = 0; pair < kRows / 16; ++pair) {
        // Matrices: queries 0 to 7 of the step's first eight dimensions and of its last, then queries 8 to 15.
        cx.ldmatrix4(regs, &Regs::rows, [&](int thread, const Regs&) {
          const int lane = thread % kWarp;
          return slot + layout.at(16 * pair + lane % 8 + lane / 16 * 8, 2 * step + lane / 8 % 2) * 8;
        });
        KVASIR_UNROLL
        for (int t = 0; t < kTiles; ++t) {
          const auto keys = [t, step](Regs& r) -> std::uint32_t(&)[4] { return r.keys[t][step]; };
          cx.mma16816(regs, [t, pair](Regs& r) -> float(&)[4] { return r.scores[t][2 * pair]; }, keys, Rows{0});
          cx.mma16816(regs, [t, pair](Regs& r) -> float(&)[4] { return r.scores[t][2 * pair + 1]; }, keys, Rows{2});
        }
      }
    }
    cx.each(regs, [&](int thread, Regs& r) {
      KVASIR_UNROLL
      for (int n = 0; n < kRows / 8; ++n) {
        KVASIR_UNROLL
        for (int j = 0; j < 2; ++j) {
          const int query = 8 * n + 2 * (thread % 4) + j;
          const float against = lse[query];
          const int begin = all ? 0 : static_cast<int>(first[query]) - own, end = all ? kWarpKeys : static_cast<int>(last[query]) - own;
          KVASIR_UNROLL
          for (int t = 0; t < kTiles; ++t) {
            KVASIR_UNROLL
            for (int half = 0; half < 2; ++half) {
              const int key = 16 * t + 8 * half + thread % kWarp / 4;
              const float weight = cx.exp2Approx(r.scores[t][n][2 * half + j] - against);
              if (key >= begin && key <= end) r.sums[t][half] += weight;
            }
          }
        }
      }
    });
  }

  template <class Cx>
  static KVASIR_DEVICE void writeSums(Cx& cx, typename Cx::template Threads<Regs>& regs, float* mass, int start, int low, int stop) {
    KVASIR_UNROLL
    for (int t = 0; t < kTiles; ++t) {
      KVASIR_UNROLL
      for (int half = 0; half < 2; ++half) {
        cx.template warpSum<4>(regs, [t, half](Regs& r) -> float& { return r.sums[t][half]; });
      }
    }
    cx.each(regs, [&](int thread, Regs& r) {
      if (thread % 4 != 0) return;
      KVASIR_UNROLL
      for (int t = 0; t < kTiles; ++t) {
        KVASIR_UNROLL
        for (int half = 0; half < 2; ++half) {
          const int key = start + thread / kWarp * kWarpKeys + 16 * t + 8 * half + thread % kWarp / 4;
          if (key >= low && key < stop) mass[key] += r.sums[t][half];
        }
      }
    });
  }
};

}  // namespace kvasir::gpu
