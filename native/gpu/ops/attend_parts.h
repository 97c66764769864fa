// What a block of decode attention does with the states of its warps: the answer of its list, or a part of it that the last
// block of the list merges with the others, in order.
#pragma once

#include <string>

#include "../args/attend_runs.h"
#include "last_block.h"
#include "merge_parts.h"

namespace kvasir::gpu {

struct AttendTarget {
  float* out;
  float* lse;              // or null
  std::uint32_t* tickets;  // [lists][chunks of a group]
  float* outs;             // [lists][maxSplits][group][headDim]
  float* stats;            // [lists][maxSplits][group] of (max, sum)
  int maxSplits;
  int group;  // query heads a list
  int headDim;
};

// The workspace of `lists` lists of at most maxTokens tokens.
inline AttendTarget attendTarget(float* out, float* lse, void* workspace, int lists, int group, int headDim, int maxTokens) {
  const int splits = most(1, static_cast<int>(kvasirAttendSplits(maxTokens)));
  std::uint8_t* at = static_cast<std::uint8_t*>(workspace);
  float* outs = reinterpret_cast<float*>(at + kvasirAttendTicketBytes(lists, group));
  const std::size_t parts = static_cast<std::size_t>(lists) * static_cast<std::size_t>(splits) * static_cast<std::size_t>(group);
  return {out,  lse,    reinterpret_cast<std::uint32_t*>(at), outs, outs + parts * static_cast<std::size_t>(headDim), splits,
          group, headDim};
}

// A block's list, and the first of its query heads that share what the block reads.
struct AttendPlace {
  int list;
  int split;
  int splits;     // of the list
  int firstHead;  // of the group
  int queries;
  std::size_t head;  // of the whole batch
};

template <class Cx>
KVASIR_DEVICE AttendPlace attendPlace(Cx& cx, const AttendTarget& target) {
  const int list = cx.blockX() / target.maxSplits, firstHead = cx.blockY() * KVASIR_QUERY_HEADS;
  return {list,
          cx.blockX() % target.maxSplits,
          0,
          firstHead,
          least(target.group - firstHead, static_cast<int>(KVASIR_QUERY_HEADS)),
          static_cast<std::size_t>(list) * static_cast<std::size_t>(target.group) + static_cast<std::size_t>(firstHead)};
}

template <int kThreads>
struct AttendParts {
  // warpOuts [warps][queries][headDim], warpStats [warps][queries] of (max, sum); word: one word of shared memory.
  template <class Cx>
  static KVASIR_DEVICE void write(Cx& cx, const AttendTarget& target, const AttendPlace& place, typename Cx::template Shared<float> warpOuts,
                                  typename Cx::template Shared<float> warpStats, typename Cx::template Shared<std::uint32_t> word) {
    const int queries = place.queries, headDim = target.headDim;
    const auto ofWarps = [&](int query, int dim) {
      return mergeParts(
          cx, kThreads / kWarp,
          [&](int warp) {
            return SoftmaxStats{warpStats[2 * (warp * queries + query)], warpStats[2 * (warp * queries + query) + 1]};
          },
          [&](int warp) { return cx.load16(warpOuts + (warp * queries + query) * headDim + dim); });
    };
    if (place.splits == 1) {
      writeRows(cx, target, place, ofWarps);
      return;
    }
    // Of each part: the first head of this block's.
    const auto partAt = [&](int split) {
      const std::size_t part = static_cast<std::size_t>(place.list) * static_cast<std::size_t>(target.maxSplits) + static_cast<std::size_t>(split);
      return part * static_cast<std::size_t>(target.group) + static_cast<std::size_t>(place.firstHead);
    };
    cx.each([&](int thread) {
      for (int i = thread; i < queries * headDim / 4; i += kThreads) {
        const int query = 4 * i / headDim, dim = 4 * i % headDim;
        const Merged merged = ofWarps(query, dim);
        Vec16 values;
        KVASIR_UNROLL
        for (int e = 0; e < 4; ++e) values.word[e] = cx.asBits(merged.out[e]);
        const std::size_t at = partAt(place.split) + static_cast<std::size_t>(query);
        cx.store16(target.outs + at * static_cast<std::size_t>(headDim) + dim, values);
        if (dim == 0) cx.store8(target.stats + 2 * at, Vec8{{cx.asBits(merged.max), cx.asBits(merged.sum)}});
      }
    });
    std::uint32_t* ticket = target.tickets + static_cast<std::size_t>(place.list) * static_cast<std::size_t>(cx.gridY()) + cx.blockY();
    if (!isLastBlock(cx, word, ticket, static_cast<std::uint32_t>(place.splits))) return;
    writeRows(cx, target, place, [&](int query, int dim) {
      return mergeParts(
          cx, place.splits,
          [&](int split) {
            const Vec8 pair = cx.load8(target.stats + 2 * (partAt(split) + static_cast<std::size_t>(query)));
            return SoftmaxStats{cx.asFloat(pair.word[0]), cx.asFloat(pair.word[1])};
          },
          [&](int split) {
            return cx.load16(target.outs + (partAt(split) + static_cast<std::size_t>(query)) * static_cast<std::size_t>(headDim) + dim);
          });
    });
  }

  // An empty list's answer, or NaN for one that is longer than the caller said.
  template <class Cx>
  static KVASIR_DEVICE void writeNothing(Cx& cx, const AttendTarget& target, const AttendPlace& place, bool empty) {
    cx.each([&](int thread) {
      for (int i = thread; i < place.queries * target.headDim; i += kThreads) {
        target.out[place.head * static_cast<std::size_t>(target.headDim) + static_cast<std::size_t>(i)] = empty ? 0.0f : NAN;
      }
      if (thread < place.queries && target.lse != nullptr) target.lse[place.head + static_cast<std::size_t>(thread)] = empty ? -INFINITY : NAN;
    });
  }

 private:
  // mergedOf(query, dim): the state of four dimensions.
  template <class Cx, class MergedOf>
  static KVASIR_DEVICE void writeRows(Cx& cx, const AttendTarget& target, const AttendPlace& place, const MergedOf& mergedOf) {
    const int headDim = target.headDim;
    cx.each([&](int thread) {
      for (int i = thread; i < place.queries * headDim / 4; i += kThreads) {
        const int query = 4 * i / headDim, dim = 4 * i % headDim;
        const Merged merged = mergedOf(query, dim);
        const std::size_t at = place.head + static_cast<std::size_t>(query);
        cx.store16(target.out + at * static_cast<std::size_t>(headDim) + dim, outOf(cx, merged));
        if (dim == 0 && target.lse != nullptr) target.lse[at] = lseOf(cx, merged);
      }
    });
  }
};

inline std::string needsWorkspace(const char* op, std::size_t has, std::size_t needed) {
  return std::string(op) + ": the workspace has " + std::to_string(has) + " bytes, needed are " + std::to_string(needed);
}

}  // namespace kvasir::gpu
