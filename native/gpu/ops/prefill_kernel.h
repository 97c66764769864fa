// Causal attention of prefilled rows: a block has a tile of (row, query head) lanes of one KV head and goes through the keys
// that they see, tile by tile. States of 1024 keys are merged in order, by the block itself or, where there are few rows, by
// the last of the blocks that share them: the bits are the same.
// Bound: 4 headDim operations a pair of row and key at the rate of mma.sync; per tile of 128 x 64 a block reads 256 headDim
// bytes of the second-level cache for 32768 headDim operations.
#pragma once

#include <cmath>

#include "../args/attend_prefill.h"
#include "../context/launcher.h"
#include "last_block.h"
#include "merge_parts.h"
#include "prefill_mma.h"
#include "prefill_simt.h"

namespace kvasir::gpu {

struct PrefillArgs {
  KvasirAttendPrefillArgs op;
  int group;
  int tiles;               // numbers of tiles of queries
  int rowsPerTile;
  bool split;              // a block does one chunk of keys
  std::uint32_t* tickets;  // [tiles][numKvHeads]
  float* outs;             // [tiles][numKvHeads][gridY][lanes][headDim]
  float* stats;            // [tiles][numKvHeads][gridY][lanes] of (max, sum)
};

// kValues false: lse alone, of which K rows are enough.
template <class Math, bool kValues>
struct AttendPrefill {
  using Args = PrefillArgs;
  using T = typename Math::T;
  using Regs = typename Math::Regs;
  using Query = std::conditional_t<Math::kWidth == 1, float, Half>;

  static constexpr int kThreads = Math::kThreads;
  static constexpr int kMinBlocks = Math::kMinBlocks;
  static constexpr int kLanes = Math::kLanes;
  static constexpr int kKeys = Math::kKeys;
  static constexpr int kSlots = Math::kSlots;
  static constexpr int kPhases = kValues ? 2 : 1;  // groups of copies a tile of keys
  static constexpr unsigned kSharedBytes = laneTableBytes(kLanes) + Math::kQueryElements * sizeof(Query) +
                                           kSlots * Math::kSlotElements * sizeof(T) + kThreads / kWarp * Math::kWarpFloats * 4 +
                                           2 * kLanes * 4 + 16;

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const KvasirAttendPrefillArgs& op = args.op;
    LaneTable<Cx> table(cx, kLanes);
    auto queries = cx.template shared<Query>(Math::kQueryElements);
    auto ring = cx.template shared<T>(kSlots * Math::kSlotElements);
    auto warpFloats = cx.template shared<float>(kThreads / kWarp * Math::kWarpFloats);
    auto totals = cx.template shared<float>(2 * kLanes);
    auto word = cx.template shared<std::uint32_t>(1);

    const int number = args.tiles - 1 - cx.blockX() % args.tiles, kvHead = cx.blockX() / args.tiles;
    const QueryTile tile = queryTileOf(op.batch, number, args.rowsPerTile);
    if (tile.rows == 0) return;
    table.fill(cx, op.batch, tile, kLanes, op.numHeads, kvHead, args.group, op.windowTokens);
    cx.barrier();
    const int low = table.first[0], stop = table.last[kLanes - 1] + 1;
    const int firstChunk = low / KVASIR_PREFILL_CHUNK, chunks = (stop - 1) / KVASIR_PREFILL_CHUNK + 1 - firstChunk;
    int begin = low / kKeys * kKeys, end = stop;
    if (args.split) {
      if (chunks > cx.gridY()) {
        if (cx.blockY() == 0) writeNan(cx, op, table);
        return;
      }
      if (cx.blockY() >= chunks) return;
      const int chunk = (firstChunk + cx.blockY()) * KVASIR_PREFILL_CHUNK;
      begin = most(begin, chunk);
      end = least(end, chunk + KVASIR_PREFILL_CHUNK);
    }

    const typename Math::Layout layout = Math::layoutOf(op.kv.headDim);
    const HeadPages head = headPagesOf(op.kv, op.layer, kvHead, op.batch.pages + op.batch.pageStarts[tile.sequence]);
    const int groups = ceilDiv(end - begin, kKeys) * kPhases;
    int issued = 0, filled = 0, read = 0;
    const auto issue = [&] {
      if (issued < groups) {
        loadTile<T, kKeys, kThreads, Math::kMostVectors>(cx, ring + filled * Math::kSlotElements, layout, head,
                                                         issued % kPhases == 0 ? 0 : op.kv.valueStride,
                                                         begin + issued / kPhases * kKeys, low, stop);
      }
      cx.commit();
      ++issued;
      filled = filled + 1 == kSlots ? 0 : filled + 1;
    };
    for (int i = 0; i < kSlots - 1; ++i) issue();
    Math::loadQueries(cx, queries, layout, op.q, table, op.kv.headDim, op.scale * kLog2E);
    typename Cx::template Threads<Regs> regs(cx);
    Math::begin(cx, regs);
    cx.barrier();
    Math::open(cx, regs, queries, layout);

    bool merged = false;
    for (int start = begin; start < end; start += kKeys) {
      KVASIR_UNROLL
      for (int phase = 0; phase < kPhases; ++phase) {
        cx.waitAsync(kSlots - 2);
        cx.barrier();  // all copies of this slot are there, and all warps are done with the slot that is filled next
        issue();
        auto slot = ring + read * Math::kSlotElements;
        cx.warps([&](int warp) {
          auto own = warpFloats + warp * Math::kWarpFloats;
          if (phase == 0) Math::score(cx, regs, warp, slot, layout, queries, table, start, own);
          else Math::add(cx, regs, warp, slot, layout, table, start, own);
        });
        read = read + 1 == kSlots ? 0 : read + 1;
      }
      const int next = start + kKeys;
      if (next >= end || next % KVASIR_PREFILL_CHUNK != 0) continue;
      Math::close(cx, regs);
      if (merged) mergeTotals(cx, regs, op, table, totals);
      keepTotals(cx, regs, op, table, totals);
      Math::begin(cx, regs);
      merged = true;
    }
    cx.waitAsync(0);
    Math::close(cx, regs);
    if (args.split && chunks > 1) {
      writePart(cx, regs, args, table, number, kvHead);
      std::uint32_t* ticket = args.tickets + number * op.kv.numKvHeads + kvHead;
      if (isLastBlock(cx, word, ticket, static_cast<std::uint32_t>(chunks))) joinParts(cx, args, table, number, kvHead, chunks);
      return;
    }
    if (merged) mergeTotals(cx, regs, op, table, totals);
    cx.each(regs, [&](int thread, Regs& r) {
      if constexpr (kValues) {
        KVASIR_UNROLL
        for (int s = 0; s < Math::kStates; ++s) r.take[s] = 1.0f / r.sum[s];
        Math::eachValue(thread, r, op.kv.headDim, [&](int s, int lane, int dim, const float* values) {
          float out[Math::kWidth];
          KVASIR_UNROLL
          for (int i = 0; i < Math::kWidth; ++i) out[i] = finished(values[i], r.take[s]);
          store(cx, op, table, lane, dim, out);
        });
      }
      Math::eachLane(thread, [&](int s, int lane) {
        const int place = table.place[lane];
        if (Math::isFirst(thread) && place >= 0 && op.lse != nullptr) op.lse[place] = lseOf(cx, r.max[s], r.sum[s]);
      });
    });
  }

 private:
  // Adding 0 turns -0, whose sign may hang on keys that a row does not see, into +0.
  static KVASIR_DEVICE float finished(float value, float inverse) { return value * inverse + 0.0f; }

  template <class Cx>
  static KVASIR_DEVICE float lseOf(Cx& cx, float max, float sum) {
    return (max + cx.log2(sum)) * kLn2;
  }

  template <class Cx>
  static KVASIR_DEVICE float* outOf(const KvasirAttendPrefillArgs& op, const LaneTable<Cx>& table, int lane, int dim) {
    const int place = table.place[lane];
    return place < 0 ? nullptr : op.out + static_cast<std::size_t>(place) * static_cast<std::size_t>(op.kv.headDim) + dim;
  }

  template <class Cx>
  static KVASIR_DEVICE void store(Cx& cx, const KvasirAttendPrefillArgs& op, const LaneTable<Cx>& table, int lane, int dim,
                                  const float (&values)[Math::kWidth]) {
    float* to = outOf(op, table, lane, dim);
    if (to == nullptr) return;
    if constexpr (Math::kWidth == 2) cx.store8(to, {{cx.asBits(values[0]), cx.asBits(values[1])}});
    else to[0] = values[0];
  }

  // State of the chunks so far: outputs wait where they go, the rest in shared memory.
  template <class Cx>
  static KVASIR_DEVICE void keepTotals(Cx& cx, typename Cx::template Threads<Regs>& regs, const KvasirAttendPrefillArgs& op,
                                       const LaneTable<Cx>& table, typename Cx::template Shared<float> totals) {
    cx.syncWarp();
    cx.each(regs, [&](int thread, Regs& r) {
      Math::eachLane(thread, [&](int s, int lane) {
        if (!Math::isFirst(thread)) return;
        totals[2 * lane] = r.max[s];
        totals[2 * lane + 1] = r.sum[s];
      });
      if constexpr (kValues) {
        Math::eachValue(thread, r, op.kv.headDim, [&](int, int lane, int dim, const float* values) {
          float out[Math::kWidth];
          KVASIR_UNROLL
          for (int i = 0; i < Math::kWidth; ++i) out[i] = values[i];
          store(cx, op, table, lane, dim, out);
        });
      }
    });
    cx.syncWarp();
  }

  template <class Cx>
  static KVASIR_DEVICE void mergeTotals(Cx& cx, typename Cx::template Threads<Regs>& regs, const KvasirAttendPrefillArgs& op,
                                        const LaneTable<Cx>& table, typename Cx::template Shared<float> totals) {
    cx.each(regs, [&](int thread, Regs& r) {
      Math::eachLane(thread, [&](int s, int lane) {
        const float max = totals[2 * lane], sum = totals[2 * lane + 1];
        const float high = most(max, r.max[s]);
        r.keep[s] = cx.exp2(max - high);
        r.take[s] = cx.exp2(r.max[s] - high);
        r.max[s] = high;
        r.sum[s] = cx.fma(r.sum[s], r.take[s], sum * r.keep[s]);
      });
      if constexpr (kValues) {
        Math::eachValue(thread, r, op.kv.headDim, [&](int s, int lane, int dim, float* values) {
          const float* from = outOf(op, table, lane, dim);
          if (from == nullptr) return;
          if constexpr (Math::kWidth == 2) {
            const Vec8 both = cx.load8(from);
            KVASIR_UNROLL
            for (int i = 0; i < 2; ++i) values[i] = cx.fma(values[i], r.take[s], cx.asFloat(both.word[i]) * r.keep[s]);
          } else {
            values[0] = cx.fma(values[0], r.take[s], from[0] * r.keep[s]);
          }
        });
      }
    });
  }

  static KVASIR_DEVICE std::size_t partOf(const Args& args, int number, int kvHead, int chunks, int chunk) {
    return static_cast<std::size_t>((number * args.op.kv.numKvHeads + kvHead) * chunks + chunk) * kLanes;
  }

  template <class Cx>
  static KVASIR_DEVICE void writePart(Cx& cx, typename Cx::template Threads<Regs>& regs, const Args& args,
                                      const LaneTable<Cx>&, int number, int kvHead) {
    const std::size_t part = partOf(args, number, kvHead, cx.gridY(), cx.blockY());
    const int headDim = args.op.kv.headDim;
    cx.each(regs, [&](int thread, Regs& r) {
      Math::eachLane(thread, [&](int s, int lane) {
        if (Math::isFirst(thread)) cx.store8(args.stats + 2 * (part + lane), {{cx.asBits(r.max[s]), cx.asBits(r.sum[s])}});
      });
      if constexpr (kValues) {
        Math::eachValue(thread, r, headDim, [&](int, int lane, int dim, const float* values) {
          float* to = args.outs + (part + lane) * static_cast<std::size_t>(headDim) + dim;
          if constexpr (Math::kWidth == 2) cx.store8(to, {{cx.asBits(values[0]), cx.asBits(values[1])}});
          else to[0] = values[0];
        });
      }
    });
  }

  // What mergeTotals does, for all chunks of a tile.
  template <class Cx>
  static KVASIR_DEVICE void joinParts(Cx& cx, const Args& args, const LaneTable<Cx>& table, int number, int kvHead, int chunks) {
    const KvasirAttendPrefillArgs& op = args.op;
    const int headDim = op.kv.headDim, vectors = kValues ? headDim / 4 : 1;
    const std::size_t first = partOf(args, number, kvHead, cx.gridY(), 0);
    cx.each([&](int thread) {
      for (int i = thread; i < kLanes * vectors; i += kThreads) {
        const int lane = i / vectors, dim = i % vectors * 4, place = table.place[lane];
        if (place < 0) continue;
        float max = kLowest, sum = 0.0f, values[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        for (int chunk = 0; chunk < chunks; ++chunk) {
          const std::size_t part = first + static_cast<std::size_t>(chunk) * kLanes + static_cast<std::size_t>(lane);
          const Vec8 stats = cx.load8(args.stats + 2 * part);
          const float partMax = cx.asFloat(stats.word[0]), high = most(max, partMax);
          const float keep = cx.exp2(max - high), take = cx.exp2(partMax - high);
          max = high;
          sum = cx.fma(cx.asFloat(stats.word[1]), take, sum * keep);
          if constexpr (kValues) {
            const Vec16 vector = cx.load16(args.outs + part * static_cast<std::size_t>(headDim) + dim);
            KVASIR_UNROLL
            for (int j = 0; j < 4; ++j) values[j] = cx.fma(cx.asFloat(vector.word[j]), take, values[j] * keep);
          }
        }
        if constexpr (kValues) {
          const float inverse = 1.0f / sum;
          Vec16 out;
          KVASIR_UNROLL
          for (int j = 0; j < 4; ++j) out.word[j] = cx.asBits(finished(values[j], inverse));
          cx.store16(op.out + static_cast<std::size_t>(place) * static_cast<std::size_t>(headDim) + dim, out);
        }
        if (dim == 0 && op.lse != nullptr) op.lse[place] = lseOf(cx, max, sum);
      }
    });
  }

  template <class Cx>
  static KVASIR_DEVICE void writeNan(Cx& cx, const KvasirAttendPrefillArgs& op, const LaneTable<Cx>& table) {
    cx.each([&](int thread) {
      for (int lane = thread / kWarp; lane < kLanes; lane += kThreads / kWarp) {
        const int place = table.place[lane];
        if (place < 0) continue;
        if (thread % kWarp == 0 && op.lse != nullptr) op.lse[place] = NAN;
        if constexpr (kValues) {
          for (int dim = thread % kWarp; dim < op.kv.headDim; dim += kWarp) *outOf(op, table, lane, dim) = NAN;
        }
      }
    });
  }
};

}  // namespace kvasir::gpu
