// Products of f16 rows, 128 queries by 128 rows at a time, and which rows may be the nearest of a query by them.
#pragma once

#include "../args/nearest_rows.h"
#include "../context/launcher.h"

namespace kvasir::gpu {

// A row that may be the nearest, and the nearest that it may be: larger is nearer, for either metric.
struct NearestKept {
  std::int32_t index;
  float high;
};

// Floats as integers of the same order.
KVASIR_DEVICE int orderedOf(std::uint32_t bits) { return static_cast<int>(bits ^ (bits >> 31) * 0x7fffffffu); }
KVASIR_DEVICE std::uint32_t bitsOfOrdered(int ordered) {
  const std::uint32_t bits = static_cast<std::uint32_t>(ordered);
  return bits ^ (bits >> 31) * 0x7fffffffu;
}

// What the slices of the rows leave for each query, in the workspace.
struct NearestFound {
  int numSlices;
  int sliceTiles;
  int numQueries;
  int* bounds;  // ordered; no row below is the nearest
  int* counts;  // of what was to be kept, which may be more than there is room for
  NearestKept* kept;

  static NearestFound in(const KvasirNearestRowsArgs& args) {
    NearestFound found{};
    found.numSlices = kvasirNearestRowsSlices(args.rows.rows, args.queries.rows);
    found.sliceTiles = ceilDiv(ceilDiv(args.rows.rows, static_cast<int>(KVASIR_NEAREST_TILE)), found.numSlices);
    found.numQueries = args.queries.rows;
    const std::size_t count = static_cast<std::size_t>(found.numSlices) * static_cast<std::size_t>(found.numQueries);
    found.bounds = static_cast<int*>(args.workspace);
    found.counts = found.bounds + count;
    found.kept = reinterpret_cast<NearestKept*>(found.counts + count);
    return found;
  }

  KVASIR_BOTH std::size_t at(int slice, int query) const {
    return static_cast<std::size_t>(slice) * static_cast<std::size_t>(numQueries) + static_cast<std::size_t>(query);
  }
  KVASIR_BOTH int firstRow(int slice) const { return slice * sliceTiles * KVASIR_NEAREST_TILE; }
};

// Bound: mma of f16; both tiles come from L2, 64 operations a byte. 5,000 by 5,000 rows of 576 are 29 GFLOP.
template <int kMetric>
struct NearestTiles {
  struct Args {
    KvasirNearestRowsArgs op;
    NearestFound found;
  };

  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 2;
  static constexpr int kTile = KVASIR_NEAREST_TILE;
  static constexpr int kDepth = 32;  // halves of a row in a stage
  static constexpr int kStages = 3;
  static constexpr int kTileHalves = kTile * kDepth;
  static constexpr unsigned kSharedBytes = kStages * 2 * kTileHalves * 2 + 2 * kTile * 4;
  static constexpr int kQueryTiles = 4, kRowTiles = 8;  // of a warp: 64 queries of 16, 64 rows of 8

  struct Regs {
    float sums[kQueryTiles][kRowTiles][4];
    std::uint32_t a[kQueryTiles][4], b[4];
    float low[2 * kQueryTiles];  // the nearest that is certain, a query
  };

  static Plan plan(const KvasirNearestRowsArgs& args, const NearestFound& found) {
    return {static_cast<unsigned>(ceilDiv(args.queries.rows, kTile)), static_cast<unsigned>(found.numSlices), kSharedBytes};
  }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    typename Cx::template Threads<Regs> regs(cx);
    auto stages = cx.template shared<Half>(kStages * 2 * kTileHalves);
    auto bounds = cx.template shared<int>(kTile);
    auto counts = cx.template shared<int>(kTile);
    const int firstQuery = cx.blockX() * kTile, firstRow = args.found.firstRow(cx.blockY());
    const int end = least(args.found.firstRow(cx.blockY() + 1), args.op.rows.rows);
    const int depthSteps = KVASIR_PADDED_DIM(args.op.dim) / kDepth, steps = ceilDiv(most(end - firstRow, 0), kTile) * depthSteps;
    cx.each([&](int thread) {
      counts[thread] = 0;
      bounds[thread] = orderedOf(cx.asBits(firstBound(args, firstQuery + thread)));
    });

    // Each thread waits for its own copies of a step and then meets the others; two more steps are under way.
    KVASIR_UNROLL
    for (int step = 0; step < kStages - 1; ++step) {
      if (step < steps) load(cx, args, stages, step, depthSteps, firstQuery, firstRow, end);
      cx.commit();
    }
    int depth = 0, row = firstRow;
    for (int step = 0; step < steps; ++step) {
      cx.waitAsync(kStages - 2);
      cx.barrier();
      if (step + kStages - 1 < steps) load(cx, args, stages, step + kStages - 1, depthSteps, firstQuery, firstRow, end);
      cx.commit();
      multiply(cx, regs, stages + step % kStages * 2 * kTileHalves, depth == 0);
      if (++depth < depthSteps) continue;
      keep(cx, regs, args, bounds, counts, firstQuery, row, end);
      depth = 0;
      row += kTile;
    }
    cx.waitAsync(0);
    cx.barrier();
    cx.each([&](int thread) {
      if (firstQuery + thread >= args.op.queries.rows) return;
      const std::size_t at = args.found.at(cx.blockY(), firstQuery + thread);
      args.found.bounds[at] = bounds[thread];
      args.found.counts[at] = counts[thread];
    });
  }

 private:
  // Rows of 64 bytes; their four pieces of 16 are exchanged so that ldmatrix finds eight rows in different banks.
  static KVASIR_DEVICE int placeOf(int row, int piece) { return row * kDepth + (piece ^ (row >> 1 & 3)) * 8; }

  // Queries [128][kDepth], then rows of the same shape; what lies behind the last is zero.
  template <class Cx, class Stages>
  static KVASIR_DEVICE void load(Cx& cx, const Args& args, Stages stages, int step, int depthSteps, int firstQuery, int firstRow, int end) {
    auto stage = stages + step % kStages * 2 * kTileHalves;
    const std::size_t padded = static_cast<std::size_t>(KVASIR_PADDED_DIM(args.op.dim));
    const int column = step % depthSteps * kDepth, tileRow = firstRow + step / depthSteps * kTile;
    cx.each([&](int thread) {
      const int piece = thread % 4;
      KVASIR_UNROLL
      for (int i = 0; i < kTile / (kThreads / 4); ++i) {
        const int r = i * (kThreads / 4) + thread / 4, query = firstQuery + r, row = tileRow + r;
        const std::size_t at = static_cast<std::size_t>(column + piece * 8);
        const bool isQuery = query < args.op.queries.rows, isRow = row < end;
        cx.copyAsync(stage + placeOf(r, piece), args.op.queries.halves + static_cast<std::size_t>(isQuery ? query : 0) * padded + at, isQuery ? 16 : 0);
        cx.copyAsync(stage + kTileHalves + placeOf(r, piece), args.op.rows.halves + static_cast<std::size_t>(isRow ? row : 0) * padded + at, isRow ? 16 : 0);
      }
    });
  }

  template <class Cx, class Stage>
  static KVASIR_DEVICE void multiply(Cx& cx, typename Cx::template Threads<Regs>& regs, Stage stage, bool first) {
    cx.warps([&](int warp) {
      if (first) {
        cx.each(regs, [](int, Regs& r) {
          KVASIR_UNROLL
          for (int i = 0; i < kQueryTiles * kRowTiles * 4; ++i) r.sums[i / (kRowTiles * 4)][i / 4 % kRowTiles][i % 4] = 0.0f;
        });
      }
      KVASIR_UNROLL
      for (int k = 0; k < kDepth / 16; ++k) {
        KVASIR_UNROLL
        for (int m = 0; m < kQueryTiles; ++m) {
          cx.ldmatrix4(regs, [m](Regs& r) -> std::uint32_t(&)[4] { return r.a[m]; }, [=](int thread, const Regs&) {
            const int lane = thread % kWarp;
            return stage + placeOf(warp % 2 * 64 + m * 16 + lane % 16, 2 * k + lane / 16);
          });
        }
        KVASIR_UNROLL
        for (int n = 0; n < kRowTiles; n += 2) {
          cx.ldmatrix4(regs, &Regs::b, [=](int thread, const Regs&) {
            const int lane = thread % kWarp;
            return stage + kTileHalves + placeOf(warp / 2 * 64 + n * 8 + lane / 16 * 8 + lane % 8, 2 * k + lane / 8 % 2);
          });
          KVASIR_UNROLL
          for (int i = 0; i < 2 * kQueryTiles; ++i) {
            const int m = i / 2, half = i % 2;
            cx.mma16816(regs, [m, n, half](Regs& r) -> float(&)[4] { return r.sums[m][n + half]; },
                        [m](Regs& r) -> std::uint32_t(&)[4] { return r.a[m]; },
                        [half](Regs& r) -> std::uint32_t(&)[2] { return *reinterpret_cast<std::uint32_t(*)[2]>(r.b + 2 * half); });
          }
        }
      }
    });
  }

  // How far a product of rows at length 1 is from the true one: f16 of both, at most 2 2^-11; and f32 sums of eight products
  // at a time, of which tensor cores cut nine addends and the sum, each by up to 2^-23: 1.25 2^-23 a dimension.
  static KVASIR_DEVICE float slackOf(int dim) { return 1.0e-3f + 1.5e-7f * static_cast<float>(dim); }

  // Queries and rows of a thread's sums: i of m is 16 m + 8 (i / 2) + lane / 4 and 8 n + 2 (lane % 4) + i % 2.
  static KVASIR_DEVICE int queryOf(int thread, int m, int half) { return thread / kWarp % 2 * 64 + m * 16 + half * 8 + thread % kWarp / 4; }
  static KVASIR_DEVICE int rowOf(int thread, int n, int i) { return thread / (2 * kWarp) * 64 + n * 8 + thread % 4 * 2 + i; }

  // What is farther than the threshold need not be kept.
  static KVASIR_DEVICE float firstBound(const Args& args, int query) {
    if constexpr (kMetric == KVASIR_METRIC_COSINE) return args.op.threshold;
    const float length = query < args.op.queries.rows ? args.op.queries.lengths[query] : 0.0f;
    return length * length - args.op.threshold;
  }

  // Turns sums into the largest value that a pair may have, and gives the smallest. Cosine: of the cosine; L2: of
  // |query|^2 - distance^2 = 2 query.row - |row|^2.
  static KVASIR_DEVICE float widen(float& sum, float query, float row, int dim) {
    float value = sum * (1.0f / (KVASIR_PREPARED_LENGTH * KVASIR_PREPARED_LENGTH)), slack = slackOf(dim);
    if constexpr (kMetric == KVASIR_METRIC_L2) {
      const float product = 2.0f * query * row;
      value = product * value - row * row;
      slack = product * slack + 1.0e-6f * (query * query + row * row);
    }
    sum = value + slack;
    return value - slack;
  }

  template <class Cx, class Words>
  static KVASIR_DEVICE void keep(Cx& cx, typename Cx::template Threads<Regs>& regs, const Args& args, Words bounds, Words counts,
                                 int firstQuery, int firstRow, int end) {
    cx.each(regs, [&](int thread, Regs& r) {
      float lengths[2 * kQueryTiles] = {};
      KVASIR_UNROLL
      for (int i = 0; i < 2 * kQueryTiles; ++i) {
        r.low[i] = -__builtin_huge_valf();
        const int query = firstQuery + queryOf(thread, i / 2, i % 2);
        if (kMetric == KVASIR_METRIC_L2 && query < args.op.queries.rows) lengths[i] = args.op.queries.lengths[query];
      }
      KVASIR_UNROLL
      for (int j = 0; j < 2 * kRowTiles; ++j) {
        const int row = firstRow + rowOf(thread, j / 2, j % 2);
        if (row >= end) continue;
        const float length = kMetric == KVASIR_METRIC_L2 ? args.op.rows.lengths[row] : 0.0f;
        KVASIR_UNROLL
        for (int i = 0; i < 2 * kQueryTiles; ++i) {
          const float low = widen(r.sums[i / 2][j / 2][i % 2 * 2 + j % 2], lengths[i], length, args.op.dim);
          if (low > r.low[i]) r.low[i] = low;
        }
      }
    });
    KVASIR_UNROLL
    for (int i = 0; i < 2 * kQueryTiles; ++i) cx.template warpMax<4>(regs, [i](Regs& r) -> float& { return r.low[i]; });
    cx.each(regs, [&](int thread, Regs& r) {
      KVASIR_UNROLL
      for (int i = 0; i < 2 * kQueryTiles; ++i) {
        if (thread % 4 == i % 4) cx.atomicMax(bounds + queryOf(thread, i / 2, i % 2), orderedOf(cx.asBits(r.low[i])));
      }
    });
    cx.barrier();
    cx.each(regs, [&](int thread, Regs& r) {
      KVASIR_UNROLL
      for (int i = 0; i < 2 * kQueryTiles; ++i) {
        const int local = queryOf(thread, i / 2, i % 2), query = firstQuery + local, ordered = bounds[local];
        const float bound = cx.asFloat(bitsOfOrdered(ordered));
        if (query >= args.op.queries.rows) continue;
        KVASIR_UNROLL
        for (int j = 0; j < 2 * kRowTiles; ++j) {
          const float high = r.sums[i / 2][j / 2][i % 2 * 2 + j % 2];
          const int row = firstRow + rowOf(thread, j / 2, j % 2);
          if (!(high >= bound) || row >= end) continue;
          const int place = cx.atomicAdd(counts + local, 1);
          if (place < KVASIR_NEAREST_KEPT) {
            args.found.kept[args.found.at(cx.blockY(), query) * KVASIR_NEAREST_KEPT + static_cast<std::size_t>(place)] = {row, high};
          }
        }
      }
    });
  }
};

}  // namespace kvasir::gpu
