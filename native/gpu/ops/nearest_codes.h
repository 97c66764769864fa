// The nearest codes of each query: a warp has a few queries and goes over a slice of the table, two rows a lane and step.
// Several slices meet in a second kernel.
#pragma once

#include "../args/nearest_codes.h"
#include "../context/launcher.h"
#include "nearest_list.h"

namespace kvasir::gpu {

constexpr int kScanWarps = 4;

KVASIR_DEVICE void storeNearest(std::uint64_t number, std::int32_t& index, std::int32_t& distance) {
  const bool found = number != NearestLists<1, 128>::kNone;
  index = found ? static_cast<std::int32_t>(number & 0xffffffffu) : -1;
  distance = found ? static_cast<std::int32_t>(number >> 32) : -1;
}

// kBytes: of a code at a time. Bound: Hamming by popc, a quarter of the rate of other instructions: 25 us for 5,000 queries,
// 5,000 rows and 128 bits on 132 multiprocessors at 1.7 GHz.
template <int kDistance, int kBytes, int kQueries, int kSlots>
struct ScanCodes {
  using Args = KvasirNearestCodesArgs;
  using Lists = NearestLists<kQueries, kSlots>;
  using Regs = typename Lists::Regs;

  static constexpr int kThreads = kScanWarps * kWarp;
  static constexpr int kMinBlocks = 4;
  static constexpr int kBlockQueries = kScanWarps * kQueries;
  static constexpr unsigned kSharedBytes = kBlockQueries * kSlots * sizeof(std::uint64_t);

  static Plan plan(const Args& args) {
    return {static_cast<unsigned>(ceilDiv(args.numQueries, kBlockQueries)),
            static_cast<unsigned>(kvasirNearestCodesSlices(args.rows, args.numQueries, args.count)), kSharedBytes};
  }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    typename Cx::template Threads<Regs> regs(cx);
    auto all = cx.template shared<std::uint64_t>(kBlockQueries * kSlots);
    cx.warps([&](int warp) {
      const int firstQuery = (cx.blockX() * kScanWarps + warp) * kQueries;
      if (firstQuery >= args.numQueries) return;
      auto lists = all + warp * kQueries * kSlots;
      Lists::clear(cx, regs, lists, args.maxDistance);
      const int sliceRows = ceilDiv(args.rows, cx.gridY());
      const int first = least(cx.blockY() * sliceRows, args.rows), end = least(first + sliceRows, args.rows);
      for (int row = first; row < end; row += 2 * kWarp) {
        cx.each(regs, [&](int thread, Regs& r) { measure(cx, args, firstQuery, row + thread % kWarp, end, r); });
        Lists::offer(cx, regs, lists, args.count);
      }
      Lists::settle(cx, regs, lists, args.count, 0);
      cx.each([&](int thread) { store(cx, args, firstQuery, thread % kWarp, lists); });
    });
  }

 private:
  // Distances of rows `row` and row + 32 from all queries; the last query stands in for those that are not there.
  template <class Cx>
  static KVASIR_DEVICE void measure(Cx& cx, const Args& args, int firstQuery, int row, int end, Regs& r) {
    const std::uint32_t codeBytes = static_cast<std::uint32_t>(args.words) * 8;
    const std::uint32_t lastQuery = static_cast<std::uint32_t>(least(kQueries, args.numQueries - firstQuery) - 1);
    const std::uint8_t *codes[2], *queries = args.queries + static_cast<std::size_t>(firstQuery) * codeBytes;
    KVASIR_UNROLL
    for (int i = 0; i < 2; ++i) {
      r.index[i] = static_cast<std::uint32_t>(row + i * kWarp);
      codes[i] = args.codes + static_cast<std::size_t>(least(row + i * kWarp, end - 1)) * codeBytes;
      KVASIR_UNROLL
      for (int q = 0; q < kQueries; ++q) r.distance[q][i] = 0;
    }
    for (std::uint32_t at = 0; at < codeBytes; at += kBytes) {
      const auto low = load(cx, codes[0] + at), high = load(cx, codes[1] + at);
      KVASIR_UNROLL
      for (int q = 0; q < kQueries; ++q) {
        const auto query = load(cx, queries + (least(static_cast<std::uint32_t>(q), lastQuery) * codeBytes + at));
        KVASIR_UNROLL
        for (int w = 0; w < kBytes / 4; ++w) {
          r.distance[q][0] = add(cx, low.word[w], query.word[w], r.distance[q][0]);
          r.distance[q][1] = add(cx, high.word[w], query.word[w], r.distance[q][1]);
        }
      }
    }
    KVASIR_UNROLL
    for (int i = 0; i < 2; ++i) {
      KVASIR_UNROLL
      for (int q = 0; q < kQueries; ++q) {
        if (row + i * kWarp >= end) r.distance[q][i] = Lists::kFar;
      }
    }
  }

  template <class Cx>
  static KVASIR_DEVICE auto load(Cx& cx, const std::uint8_t* from) {
    if constexpr (kBytes == 16) return cx.load16(from);
    else return cx.load8(from);
  }

  template <class Cx>
  static KVASIR_DEVICE std::uint32_t add(Cx& cx, std::uint32_t a, std::uint32_t b, std::uint32_t sum) {
    if constexpr (kDistance == KVASIR_DISTANCE_HAMMING) return sum + static_cast<std::uint32_t>(cx.popcount(a ^ b));
    else return cx.addByteDifferences(a, b, sum);
  }

  template <class Cx, class Shared>
  static KVASIR_DEVICE void store(Cx& cx, const Args& args, int firstQuery, int lane, Shared lists) {
    const std::size_t count = static_cast<std::size_t>(args.count);
    for (int q = 0; q < kQueries && firstQuery + q < args.numQueries; ++q) {
      const std::size_t query = static_cast<std::size_t>(firstQuery + q);
      for (int i = lane; i < args.count; i += kWarp) {
        const std::uint64_t number = lists[q * kSlots + i];
        const std::size_t at = query * count + static_cast<std::size_t>(i);
        if (cx.gridY() == 1) {
          storeNearest(number, args.indices[at], args.distances[at]);
        } else {
          const std::size_t slice = static_cast<std::size_t>(cx.blockY()) * static_cast<std::size_t>(args.numQueries) * count;
          static_cast<std::uint64_t*>(args.workspace)[slice + at] = number;
        }
      }
    }
  }
};

// The best of all slices: a warp a query.
struct MergeCodes {
  struct Args {
    const std::uint64_t* slices;  // [numSlices][numQueries][count]
    int numSlices;
    int numQueries;
    int count;
    std::int32_t* indices;
    std::int32_t* distances;
  };
  static constexpr int kSlots = 512;
  using Lists = NearestLists<1, kSlots>;
  using Regs = Lists::Regs;

  static constexpr int kThreads = kScanWarps * kWarp;
  static constexpr int kMinBlocks = 4;
  static constexpr unsigned kSharedBytes = kScanWarps * kSlots * sizeof(std::uint64_t);

  static Plan plan(int numQueries) { return {static_cast<unsigned>(ceilDiv(numQueries, kScanWarps)), 1, kSharedBytes}; }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    typename Cx::template Threads<Regs> regs(cx);
    auto all = cx.template shared<std::uint64_t>(kScanWarps * kSlots);
    cx.warps([&](int warp) {
      const int query = cx.blockX() * kScanWarps + warp;
      if (query >= args.numQueries) return;
      auto list = all + warp * kSlots;
      Lists::clear(cx, regs, list, 0x7ffffffe);
      const int numbers = args.numSlices * args.count;
      for (int first = 0; first < numbers; first += 2 * kWarp) {
        cx.each(regs, [&](int thread, Regs& r) {
          KVASIR_UNROLL
          for (int i = 0; i < 2; ++i) {
            const int at = first + i * kWarp + thread % kWarp, slice = at / args.count;
            r.distance[0][i] = Lists::kFar;
            if (at >= numbers) continue;
            const std::size_t row = static_cast<std::size_t>(slice) * static_cast<std::size_t>(args.numQueries) + static_cast<std::size_t>(query);
            const Vec8 number = cx.load8(args.slices + row * static_cast<std::size_t>(args.count) + at % args.count);
            r.index[i] = number.word[0];
            r.distance[0][i] = number.word[1];
          }
        });
        Lists::offer(cx, regs, list, args.count);
      }
      Lists::settle(cx, regs, list, args.count, 0);
      cx.each([&](int thread) {
        for (int i = thread % kWarp; i < args.count; i += kWarp) {
          const std::size_t at = static_cast<std::size_t>(query) * static_cast<std::size_t>(args.count) + static_cast<std::size_t>(i);
          storeNearest(list[i], args.indices[at], args.distances[at]);
        }
      });
    });
  }
};

template <int kDistance>
int runScanCodes(Launcher launcher, const KvasirNearestCodesArgs& args) {
  using Few = ScanCodes<kDistance, 16, 8, 128>;
  using Many = ScanCodes<kDistance, 16, 2, 512>;
  using Narrow = ScanCodes<kDistance, 8, 2, 512>;
  if (args.words % 2 != 0) return launcher.run<Narrow>(Narrow::plan(args), args);
  if (args.count > 64) return launcher.run<Many>(Many::plan(args), args);
  return launcher.run<Few>(Few::plan(args), args);
}

inline int launchNearestCodes(Launcher launcher, const KvasirNearestCodesArgs& args) {
  if (args.rows < 0 || args.numQueries < 0) return launcher.refuse("nearestCodes: rows or numQueries is negative");
  if (args.words <= 0 || args.words > KVASIR_MAX_HASHES / 8) return launcher.refuse("nearestCodes: words must be 1 to 512");
  if (args.count < 0 || args.count > KVASIR_MAX_NEAREST) return launcher.refuse("nearestCodes: count must be 0 to 256");
  if (args.maxDistance < 0) return launcher.refuse("nearestCodes: maxDistance is negative");
  if (args.distance != KVASIR_DISTANCE_HAMMING && args.distance != KVASIR_DISTANCE_L1) return launcher.refuse("nearestCodes: there is no such distance");
  if (args.numQueries == 0 || args.count == 0) return KVASIR_GPU_OK;
  const int slices = kvasirNearestCodesSlices(args.rows, args.numQueries, args.count);
  if (args.workspaceBytes < kvasirNearestCodesBytes(args.rows, args.numQueries, args.count)) {
    return launcher.refuse("nearestCodes: the workspace is too small: kvasirNearestCodesBytes");
  }
  const int status = args.distance == KVASIR_DISTANCE_HAMMING ? runScanCodes<KVASIR_DISTANCE_HAMMING>(launcher, args)
                                                              : runScanCodes<KVASIR_DISTANCE_L1>(launcher, args);
  if (status != KVASIR_GPU_OK || slices == 1) return status;
  return launcher.run<MergeCodes>(MergeCodes::plan(args.numQueries), {static_cast<const std::uint64_t*>(args.workspace), slices,
                                                                      args.numQueries, args.count, args.indices, args.distances});
}

}  // namespace kvasir::gpu
