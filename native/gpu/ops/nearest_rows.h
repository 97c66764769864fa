// The nearest row of each query. NearestTiles multiplies f16 rows and keeps the rows that may be the nearest, given how far
// such a product can be from the true one; NearestExact compares those in f64.
#pragma once

#include "../args/nearest_rows.h"
#include "../context/launcher.h"
#include "nearest_tiles.h"
#include "ranking.h"

namespace kvasir::gpu {

// A warp a query. Where a slice had more to keep than it has room for, all of its rows are compared.
struct NearestExact {
  struct Args {
    KvasirNearestRowsArgs op;
    NearestFound found;
  };
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 6;
  static constexpr unsigned kSharedBytes = 0;
  static constexpr int kQueries = kThreads / kWarp;

  static Plan plan(int numQueries) { return {static_cast<unsigned>(ceilDiv(numQueries, kQueries)), 1, 0}; }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    typename Cx::template Threads<Ranking::Regs> regs(cx);
    typename Cx::template Threads<Bound> bounds(cx);
    cx.warps([&](int warp) {
      const int query = cx.blockX() * kQueries + warp;
      if (query >= args.op.queries.rows) return;
      cx.each(bounds, [&](int thread, Bound& own) {
        own.ordered = args.found.bounds[args.found.at(0, query)];
        for (int slice = thread % kWarp; slice < args.found.numSlices; slice += kWarp) {
          own.ordered = most(own.ordered, args.found.bounds[args.found.at(slice, query)]);
        }
      });
      cx.warpMax(bounds, &Bound::ordered);
      const float bound = cx.asFloat(bitsOfOrdered(cx.uniform(bounds, &Bound::ordered)));

      const std::size_t dim = static_cast<std::size_t>(args.op.dim);
      const Ranking ranking = {args.op.metric, args.op.dim, args.op.queries.x + static_cast<std::size_t>(query) * dim, args.op.rows.x, args.op.threshold};
      ranking.begin(cx, regs);
      for (int slice = 0; slice < args.found.numSlices; ++slice) {
        const std::size_t at = args.found.at(slice, query);
        const int kept = args.found.counts[at];
        if (kept <= KVASIR_NEAREST_KEPT) {
          const NearestKept* rows = args.found.kept + at * KVASIR_NEAREST_KEPT;
          for (int first = 0; first < kept; first += Ranking::kRows) {
            ranking.consider(cx, regs, [&](int thread) {
              const int i = first + thread % kWarp / Ranking::kLanes;
              return i < kept && rows[i].high >= bound ? rows[i].index : -1;
            });
          }
        } else {
          const int begin = args.found.firstRow(slice), end = least(args.found.firstRow(slice + 1), args.op.rows.rows);
          for (int first = begin; first < end; first += Ranking::kRows) {
            ranking.consider(cx, regs, [&](int thread) {
              const int row = first + thread % kWarp / Ranking::kLanes;
              return row < end ? row : -1;
            });
          }
        }
      }
      ranking.finish(cx, regs);
      cx.each(regs, [&](int thread, Ranking::Regs& r) {
        if (thread % kWarp == 0) Ranking::store(cx, r, args.op.indices[query], args.op.values[query]);
      });
    });
  }

 private:
  struct Bound {
    int ordered;
  };
};

inline int launchNearestRows(Launcher launcher, const KvasirNearestRowsArgs& args) {
  if (args.queries.rows < 0 || args.rows.rows < 0) return launcher.refuse("nearestRows: rows is negative");
  if (args.dim <= 0 || args.dim % 4 != 0 || args.dim > 8192) return launcher.refuse("nearestRows: dim must be a multiple of 4, at most 8192");
  if (!isMetric(args.metric)) return launcher.refuse("nearestRows: there is no such metric");
  if (args.workspaceBytes < kvasirNearestRowsBytes(args.rows.rows, args.queries.rows)) {
    return launcher.refuse("nearestRows: the workspace is too small: kvasirNearestRowsBytes");
  }
  if (args.queries.rows == 0) return KVASIR_GPU_OK;
  const NearestFound found = NearestFound::in(args);
  const bool cosine = args.metric == KVASIR_METRIC_COSINE;
  const int status = cosine ? launcher.run<NearestTiles<KVASIR_METRIC_COSINE>>(NearestTiles<KVASIR_METRIC_COSINE>::plan(args, found), {args, found})
                            : launcher.run<NearestTiles<KVASIR_METRIC_L2>>(NearestTiles<KVASIR_METRIC_L2>::plan(args, found), {args, found});
  return status != KVASIR_GPU_OK ? status : launcher.run<NearestExact>(NearestExact::plan(args.queries.rows), {args, found});
}

}  // namespace kvasir::gpu
