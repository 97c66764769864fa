// Prefill attention of float16 tiles on tensor cores: S = Q K^T, O += P V (FlashAttention-2, arXiv 2307.08691). A warp has
// 16 kTiles lanes. The maximum that weights are taken against moves only once they would grow past 2^kHeadroom: most tiles
// then need no rescaling, and weights lose nothing that counts to float16's smallest exponents.
#pragma once

#include <cmath>

#include "kv_tiles.h"
#include "query_tile.h"

namespace kvasir::gpu {

template <int kDimSteps, int kRowTiles>
struct PrefillMma {
  using T = Half;
  static constexpr int kSteps = kDimSteps;  // of 16 dimensions, at most
  static constexpr int kTiles = kRowTiles;
  static constexpr int kWarps = 4;
  static constexpr int kThreads = kWarps * kWarp;
  static constexpr int kMinBlocks = 2;
  static constexpr int kWarpLanes = 16 * kTiles;
  static constexpr int kLanes = kWarps * kWarpLanes;
  static constexpr int kKeys = kSteps <= 8 ? 64 : 32;
  static constexpr int kOddWords = kKeys / 32;
  static constexpr int kMostVectors = 2 * kSteps;
  static constexpr int kSlots = 3;
  static constexpr int kSlotElements = kKeys * kMostVectors * 8;
  static constexpr int kQueryElements = kLanes * kMostVectors * 8;
  static constexpr int kWarpFloats = 0;
  static constexpr bool kSplits = true;
  static constexpr int kStates = 2 * kTiles;  // lanes that a thread has values of
  static constexpr int kWidth = 2;            // neighbouring values at a time
  static constexpr float kHeadroom = 14.0f, kRest = 7.0f;
  // Fragments of q stay in registers where there is room.
  static constexpr bool kKeepsQueries = kTiles * kSteps <= 8;

  using Layout = KeyTileLayout;
  static KVASIR_DEVICE Layout layoutOf(int headDim) { return keyTileLayoutOf(headDim / 8); }

  // A thread has rows lane / 4 and lane / 4 + 8 of each tile, columns 2 (lane % 4) and the next of every eight.
  struct Regs {
    float out[kTiles][2 * kSteps][4];
    float scores[kTiles][kKeys / 8][4];
    std::uint32_t weights[kTiles][kKeys / 16][4];
    std::uint32_t q[kTiles][kKeepsQueries ? kSteps : 1][4];
    std::uint32_t rows[4];
    float max[kStates], sum[kStates], high[kStates], fade[kStates];
    float keep[kStates], take[kStates];
    std::uint32_t grown, vote;
    std::uint32_t odd[kOddWords];
  };

  template <class Cx>
  static KVASIR_DEVICE void loadQueries(Cx& cx, typename Cx::template Shared<T> queries, const Layout& layout, const float* q,
                                        const LaneTable<Cx>& table, int headDim, float scale) {
    cx.each([&](int thread) {
      KVASIR_UNROLL
      for (int pass = 0; pass < kLanes / (kThreads / 8); ++pass) {
        const int lane = thread / 8 + pass * (kThreads / 8), place = table.place[lane];
        const float* from = q + static_cast<std::size_t>(most(place, 0)) * static_cast<std::size_t>(headDim);
        KVASIR_UNROLL
        for (int i = 0; i < ceilDiv(kMostVectors, 8); ++i) {
          const int vector = 8 * i + thread % 8;
          if (vector >= layout.vectors) continue;
          Vec16 halves = {{0, 0, 0, 0}};
          if (place >= 0) {
            const Vec16 low = cx.load16(from + 8 * vector), high = cx.load16(from + 8 * vector + 4);
            KVASIR_UNROLL
            for (int j = 0; j < 2; ++j) {
              halves.word[j] = cx.toHalves(cx.asFloat(low.word[2 * j]) * scale, cx.asFloat(low.word[2 * j + 1]) * scale);
              halves.word[2 + j] = cx.toHalves(cx.asFloat(high.word[2 * j]) * scale, cx.asFloat(high.word[2 * j + 1]) * scale);
            }
          }
          cx.store16(queries + layout.at(lane, vector) * 8, halves);
        }
      }
    });
  }

  template <class Cx>
  static KVASIR_DEVICE void begin(Cx& cx, typename Cx::template Threads<Regs>& regs) {
    cx.each(regs, [&](int, Regs& r) {
      KVASIR_UNROLL
      for (int t = 0; t < kTiles; ++t) {
        KVASIR_UNROLL
        for (int n = 0; n < 2 * kSteps; ++n) {
          KVASIR_UNROLL
          for (int i = 0; i < 4; ++i) r.out[t][n][i] = 0.0f;
        }
      }
      KVASIR_UNROLL
      for (int s = 0; s < kStates; ++s) {
        r.max[s] = kLowest;
        r.sum[s] = 0.0f;
      }
    });
  }

  // Once the queries are there.
  template <class Cx>
  static KVASIR_DEVICE void open(Cx& cx, typename Cx::template Threads<Regs>& regs, typename Cx::template Shared<T> queries,
                                 const Layout& layout) {
    if constexpr (kKeepsQueries) {
      cx.warps([&](int warp) {
        KVASIR_UNROLL
        for (int step = 0; step < kSteps; ++step) {
          if (2 * step < layout.vectors) loadQueryStep(cx, regs, warp, queries, layout, step, step);
        }
      });
    }
  }

  // Scores of a tile's K rows, and from them weights.
  template <class Cx>
  static KVASIR_DEVICE void score(Cx& cx, typename Cx::template Threads<Regs>& regs, int warp, typename Cx::template Shared<T> slot,
                                  const Layout& layout, typename Cx::template Shared<T> queries, const LaneTable<Cx>& table, int start,
                                  typename Cx::template Shared<float>) {
    const Sight sight = sightOf(table, warp * kWarpLanes, kWarpLanes, start, kKeys);
    if (!sight.any) return;
    cx.each(regs, [&](int, Regs& r) {
      KVASIR_UNROLL
      for (int t = 0; t < kTiles; ++t) {
        KVASIR_UNROLL
        for (int n = 0; n < kKeys / 8; ++n) {
          KVASIR_UNROLL
          for (int i = 0; i < 4; ++i) r.scores[t][n][i] = 0.0f;
        }
      }
    });
    KVASIR_UNROLL
    for (int step = 0; step < kSteps; ++step) {
      if (2 * step >= layout.vectors) break;
      if constexpr (!kKeepsQueries) loadQueryStep(cx, regs, warp, queries, layout, step, 0);
      KVASIR_UNROLL
      for (int pair = 0; pair < kKeys / 16; ++pair) {
        // Matrices: keys 0 to 7 of the step's first eight dimensions and of its last, then keys 8 to 15.
        cx.ldmatrix4(regs, &Regs::rows, [&](int thread, const Regs&) {
          const int lane = thread % kWarp;
          return slot + layout.at(16 * pair + lane % 8 + lane / 16 * 8, 2 * step + lane / 8 % 2) * 8;
        });
        KVASIR_UNROLL
        for (int t = 0; t < kTiles; ++t) {
          const auto q = [t, step](Regs& r) -> std::uint32_t(&)[4] { return r.q[t][kKeepsQueries ? step : 0]; };
          cx.mma16816(regs, [t, pair](Regs& r) -> float(&)[4] { return r.scores[t][2 * pair]; }, q, Rows{0});
          cx.mma16816(regs, [t, pair](Regs& r) -> float(&)[4] { return r.scores[t][2 * pair + 1]; }, q, Rows{2});
        }
      }
    }
    if (!sight.all) {
      cx.each(regs, [&](int thread, Regs& r) {
        KVASIR_UNROLL
        for (int s = 0; s < kStates; ++s) {
          const int lane = laneOf(warp, thread, s), first = table.first[lane] - start, last = table.last[lane] - start;
          KVASIR_UNROLL
          for (int n = 0; n < kKeys / 8; ++n) {
            KVASIR_UNROLL
            for (int j = 0; j < 2; ++j) {
              const int key = 8 * n + 2 * (thread % 4) + j;
              if (key < first || key > last) r.scores[s / 2][n][s % 2 * 2 + j] = -INFINITY;
            }
          }
        }
      });
    }
    weigh(cx, regs);
  }

  template <class Cx>
  static KVASIR_DEVICE void add(Cx& cx, typename Cx::template Threads<Regs>& regs, int warp, typename Cx::template Shared<T> slot,
                                const Layout& layout, const LaneTable<Cx>& table, int start, typename Cx::template Shared<float>) {
    const Sight sight = sightOf(table, warp * kWarpLanes, kWarpLanes, start, kKeys);
    if (!sight.any) return;
    if (!sight.all && findOdd(cx, regs, slot, layout)) {
      cx.each(regs, [&](int thread, Regs& r) {
        KVASIR_UNROLL
        for (int s = 0; s < kStates; ++s) {
          const int lane = laneOf(warp, thread, s), first = table.first[lane] - start, last = table.last[lane] - start;
          for (int key = most(first, 0); key <= least(last, kKeys - 1); ++key) {
            if (((key < 32 ? r.odd[0] : r.odd[kOddWords - 1]) >> key % 32 & 1u) != 0) r.sum[s] = NAN;
          }
        }
      });
      addValues<true>(cx, regs, slot, layout);
    } else {
      addValues<false>(cx, regs, slot, layout);
    }
  }

  // Sums of a thread's own columns into sums of the lane.
  template <class Cx>
  static KVASIR_DEVICE void close(Cx& cx, typename Cx::template Threads<Regs>& regs) {
    KVASIR_UNROLL
    for (int s = 0; s < kStates; ++s) cx.template warpSum<4>(regs, [s](Regs& r) -> float& { return r.sum[s]; });
  }

  // visit(state, lane): what this thread has values of; one of the threads of a lane is its first.
  template <class Visit>
  static KVASIR_DEVICE void eachLane(int thread, const Visit& visit) {
    KVASIR_UNROLL
    for (int s = 0; s < kStates; ++s) visit(s, laneOf(thread / kWarp, thread, s));
  }
  static KVASIR_DEVICE bool isFirst(int thread) { return thread % 4 == 0; }

  // visit(state, lane, dim, values): kWidth values from `dim` on.
  template <class Visit>
  static KVASIR_DEVICE void eachValue(int thread, Regs& r, int headDim, const Visit& visit) {
    KVASIR_UNROLL
    for (int s = 0; s < kStates; ++s) {
      const int lane = laneOf(thread / kWarp, thread, s);
      KVASIR_UNROLL
      for (int n = 0; n < 2 * kSteps; ++n) {
        if (8 * n >= headDim) break;
        visit(s, lane, 8 * n + 2 * (thread % 4), &r.out[s / 2][n][s % 2 * 2]);
      }
    }
  }

 private:
  // Two of the four words that ldmatrix4 gave, for an mma.
  struct Rows {
    int first;
    KVASIR_DEVICE std::uint32_t (&operator()(Regs& r) const)[2] { return reinterpret_cast<std::uint32_t(&)[2]>(r.rows[first]); }
  };

  static KVASIR_DEVICE int laneOf(int warp, int thread, int state) {
    return warp * kWarpLanes + state / 2 * 16 + state % 2 * 8 + thread % kWarp / 4;
  }

  template <class Cx>
  static KVASIR_DEVICE void loadQueryStep(Cx& cx, typename Cx::template Threads<Regs>& regs, int warp,
                                          typename Cx::template Shared<T> queries, const Layout& layout, int step, int to) {
    KVASIR_UNROLL
    for (int t = 0; t < kTiles; ++t) {
      cx.ldmatrix4(regs, [t, to](Regs& r) -> std::uint32_t(&)[4] { return r.q[t][to]; }, [&, t](int thread, const Regs&) {
        const int lane = thread % kWarp;
        return queries + layout.at(warp * kWarpLanes + 16 * t + lane % 16, 2 * step + lane / 16) * 8;
      });
    }
  }

  template <class Cx>
  static KVASIR_DEVICE void weigh(Cx& cx, typename Cx::template Threads<Regs>& regs) {
    cx.each(regs, [&](int, Regs& r) {
      KVASIR_UNROLL
      for (int s = 0; s < kStates; ++s) {
        float high = -INFINITY;
        KVASIR_UNROLL
        for (int n = 0; n < kKeys / 8; ++n) {
          high = most(high, most(r.scores[s / 2][n][s % 2 * 2], r.scores[s / 2][n][s % 2 * 2 + 1]));
        }
        r.high[s] = high;
      }
    });
    KVASIR_UNROLL
    for (int s = 0; s < kStates; ++s) cx.template warpMax<4>(regs, [s](Regs& r) -> float& { return r.high[s]; });
    cx.each(regs, [&](int, Regs& r) {
      r.grown = 0;
      KVASIR_UNROLL
      for (int s = 0; s < kStates; ++s) {
        const bool grown = r.high[s] > r.max[s] + kHeadroom;
        const float max = grown ? r.high[s] - kRest : r.max[s];
        r.fade[s] = grown ? cx.exp2Approx(r.max[s] - max) : 1.0f;
        r.max[s] = max;
        r.grown |= grown ? 1u : 0u;
      }
    });
    cx.ballot(regs, [](int, const Regs& r) { return r.grown != 0; }, &Regs::vote);
    if (cx.uniform(regs, &Regs::vote) != 0) {
      cx.each(regs, [&](int, Regs& r) {
        KVASIR_UNROLL
        for (int s = 0; s < kStates; ++s) {
          r.sum[s] *= r.fade[s];
          KVASIR_UNROLL
          for (int n = 0; n < 2 * kSteps; ++n) {
            r.out[s / 2][n][s % 2 * 2] *= r.fade[s];
            r.out[s / 2][n][s % 2 * 2 + 1] *= r.fade[s];
          }
        }
      });
    }
    cx.each(regs, [&](int, Regs& r) {
      KVASIR_UNROLL
      for (int s = 0; s < kStates; ++s) {
        KVASIR_UNROLL
        for (int n = 0; n < kKeys / 8; ++n) {
          const float first = cx.exp2Approx(r.scores[s / 2][n][s % 2 * 2] - r.max[s]);
          const float second = cx.exp2Approx(r.scores[s / 2][n][s % 2 * 2 + 1] - r.max[s]);
          r.sum[s] += first + second;
          r.weights[s / 2][n / 2][n % 2 * 2 + s % 2] = cx.roundToHalves(first, second);
        }
      }
    });
  }

  // Which V rows of a tile hold a value that is not finite: a weight of 0 makes NaN of it. A warp looks where it has lanes that
  // do not see all rows; those that do see such a row become NaN.
  template <class Cx>
  static KVASIR_DEVICE bool findOdd(Cx& cx, typename Cx::template Threads<Regs>& regs, typename Cx::template Shared<T> slot,
                                    const Layout& layout) {
    std::uint32_t any = 0;
    KVASIR_UNROLL
    for (int word = 0; word < kOddWords; ++word) {
      cx.each(regs, [&](int thread, Regs& r) {
        r.vote = 0;
        for (int vector = 0; vector < layout.vectors; ++vector) {
          const Vec16 halves = cx.load16(slot + layout.at(32 * word + thread % kWarp, vector) * 8);
          KVASIR_UNROLL
          for (int i = 0; i < 4; ++i) r.vote |= oddHalves(halves.word[i]);
        }
      });
      const auto odd = [word](Regs& r) -> std::uint32_t& { return r.odd[word]; };
      cx.ballot(regs, [](int, const Regs& r) { return r.vote != 0; }, odd);
      any |= cx.uniform(regs, odd);
    }
    return any != 0;
  }

  // Sign bits of those of two float16 that are not finite.
  static KVASIR_DEVICE std::uint32_t oddHalves(std::uint32_t halves) { return ((halves & 0x7c007c00u) + 0x04000400u) & 0x80008000u; }

  // kFinite: with 0 for every value that is not.
  template <bool kFinite, class Cx>
  static KVASIR_DEVICE void addValues(Cx& cx, typename Cx::template Threads<Regs>& regs, typename Cx::template Shared<T> slot,
                                      const Layout& layout) {
    KVASIR_UNROLL
    for (int keys = 0; keys < kKeys / 16; ++keys) {
      KVASIR_UNROLL
      for (int step = 0; step < kSteps; ++step) {
        if (2 * step >= layout.vectors) break;
        // Matrices: keys 0 to 7 and 8 to 15 of the step's first eight dimensions, then of its last.
        cx.template ldmatrix4<true>(regs, &Regs::rows, [&](int thread, const Regs&) {
          const int lane = thread % kWarp;
          return slot + layout.at(16 * keys + lane % 16, 2 * step + lane / 16) * 8;
        });
        if constexpr (kFinite) {
          cx.each(regs, [&](int, Regs& r) {
            KVASIR_UNROLL
            for (int i = 0; i < 4; ++i) r.rows[i] &= ~((oddHalves(r.rows[i]) >> 15) * 0xffffu);
          });
        }
        KVASIR_UNROLL
        for (int t = 0; t < kTiles; ++t) {
          const auto weights = [t, keys](Regs& r) -> std::uint32_t(&)[4] { return r.weights[t][keys]; };
          cx.mma16816(regs, [t, step](Regs& r) -> float(&)[4] { return r.out[t][2 * step]; }, weights, Rows{0});
          cx.mma16816(regs, [t, step](Regs& r) -> float(&)[4] { return r.out[t][2 * step + 1]; }, weights, Rows{2});
        }
      }
    }
  }
};

}  // namespace kvasir::gpu
