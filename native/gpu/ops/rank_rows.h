// The best candidate of each query: a warp a query.
#pragma once

#include "../args/rank_rows.h"
#include "../context/launcher.h"
#include "ranking.h"

namespace kvasir::gpu {

// Bound: reading the candidates' rows, mostly from L2.
struct RankRows {
  using Args = KvasirRankRowsArgs;
  using Regs = Ranking::Regs;

  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 6;
  static constexpr unsigned kSharedBytes = 0;
  static constexpr int kQueries = kThreads / kWarp;

  static Plan plan(int numQueries) { return {static_cast<unsigned>(ceilDiv(numQueries, kQueries)), 1, 0}; }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    typename Cx::template Threads<Regs> regs(cx);
    cx.warps([&](int warp) {
      const int query = cx.blockX() * kQueries + warp;
      if (query >= args.numQueries) return;
      const std::size_t row = static_cast<std::size_t>(query);
      const Ranking ranking = {args.metric, args.dim, args.queries + row * static_cast<std::size_t>(args.dim), args.rows, args.threshold};
      const std::int32_t* candidates = args.candidates + row * static_cast<std::size_t>(args.count);
      ranking.begin(cx, regs);
      for (int first = 0; first < args.count; first += Ranking::kRows) {
        ranking.consider(cx, regs, [&](int thread) {
          const int at = first + thread % kWarp / Ranking::kLanes;
          return at < args.count ? candidates[at] : -1;
        });
      }
      ranking.finish(cx, regs);
      cx.each(regs, [&](int thread, Regs& r) {
        if (thread % kWarp == 0) Ranking::store(cx, r, args.indices[query], args.values[query]);
      });
    });
  }
};

inline int launchRankRows(Launcher launcher, const KvasirRankRowsArgs& args) {
  if (args.numQueries < 0 || args.count < 0) return launcher.refuse("rankRows: numQueries or count is negative");
  if (args.dim <= 0 || args.dim % 4 != 0) return launcher.refuse("rankRows: dim must be a multiple of 4");
  if (!isMetric(args.metric)) return launcher.refuse("rankRows: there is no such metric");
  if (args.numQueries == 0) return KVASIR_GPU_OK;
  return launcher.run<RankRows>(RankRows::plan(args.numQueries), args);
}

}  // namespace kvasir::gpu
