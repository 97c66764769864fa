// Exact scores q.k of listed tokens, 64 at a time, and the softmax sums of what was scored. Eight threads take a row, so
// that a warp reads four rows of 16 bytes a thread, and a thread has four rows under way.
#pragma once

#include "../args/views.h"
#include "../context/vocabulary.h"
#include "elements.h"
#include "hot_layer.h"
#include "select_args.h"

namespace kvasir::gpu {

constexpr int kScoreThreads = 128;
constexpr int kTileTokens = 64;
constexpr int kRowThreads = 8;
constexpr int kTileSteps = kTileTokens / (kScoreThreads / kRowThreads);  // rows that a thread has a share in

struct ScoreRegs {
  float sums[kTileSteps][kSelectHeads];
  float largest, total;  // of the head of this thread's warp, over the tiles so far
  float tileLargest, tileTotal;
  std::uint32_t keysRead;  // beside slots
};

// Shared memory of a block.
struct ScoreShared {
  static constexpr unsigned kBytes = 4 * (kSelectHeads * KVASIR_INDEX_MAX_DIM + kSelectHeads * kTileTokens);
  template <class Cx>
  struct At {
    typename Cx::template Shared<float> q;      // [kSelectHeads][KVASIR_INDEX_MAX_DIM]
    typename Cx::template Shared<float> scores; // [kSelectHeads][kTileTokens]
  };
  template <class Cx>
  static KVASIR_DEVICE At<Cx> carve(Cx& cx) {
    return {cx.template shared<float>(kSelectHeads * KVASIR_INDEX_MAX_DIM), cx.template shared<float>(kSelectHeads * kTileTokens)};
  }
};

struct ScoreSource {
  const std::uint8_t* keys;  // of the layer and KV head
  std::size_t pageStride;
  const std::int32_t* pages;
  int headDim;
  float scale;  // base 2
  HotLayer hot;  // isTiered
  bool isTiered;
  std::uint32_t kvHead, numKvHeads;

  // `beside` counts rows that could be in slots and are not.
  template <class T>
  KVASIR_DEVICE const std::uint8_t* row(int token, std::uint32_t& beside) const {
    const std::int32_t page = pages[token / KVASIR_PAGE_TOKENS];
    if (isTiered) {
      const std::uint32_t first = (static_cast<std::uint32_t>(page) * numKvHeads + kvHead) * KVASIR_PAGE_TOKENS;
      const int inPage = token % KVASIR_PAGE_TOKENS;
      const std::int32_t place = hot.places[hot.unitOf(first + static_cast<std::uint32_t>(inPage))];
      if (place > 0) return hot.rowAt(place - 1, inPage);
      ++beside;
    }
    return keys + wide(page) * pageStride + wide(token % KVASIR_PAGE_TOKENS) * wide(headDim) * sizeof(T);
  }
};

KVASIR_DEVICE ScoreSource scoreSource(const SelectArgs& args, int kvHead, const std::int32_t* pages) {
  const KvasirKvView& kv = args.op.kv;
  const bool isTiered = args.op.hot.rows != nullptr;
  return {kv.base + wide(args.op.layer) * kv.layerStride + wide(kvHead) * kv.headStride,
          kv.pageStride,
          pages,
          kv.headDim,
          args.op.scale * kSelectLog2E,
          HotLayer(args.op.hot, isTiered ? args.op.layer : 0, kv.headDim),
          isTiered,
          static_cast<std::uint32_t>(kvHead),
          static_cast<std::uint32_t>(kv.numKvHeads)};
}

// Queries of up to four heads to shared memory, zeros for the rest.
template <class Cx, class Q>
KVASIR_DEVICE void loadQueries(Cx& cx, const float* q, int heads, int headDim, const Q& to) {
  cx.each([&](int thread) {
    for (int i = thread; i < kSelectHeads * KVASIR_INDEX_MAX_DIM; i += cx.threads()) {
      const int head = i / KVASIR_INDEX_MAX_DIM, d = i % KVASIR_INDEX_MAX_DIM;
      to[i] = head < heads && d < headDim ? q[head * headDim + d] : 0.0f;
    }
  });
  cx.barrier();
}

template <class T, class Cx, class Threads, class Shared, class TokenOf>
KVASIR_DEVICE void scoreTile(Cx& cx, Threads& regs, const Shared& shared, const ScoreSource& source, const TokenOf& tokenOf) {
  constexpr int kCount = kPerVector<T>;
  const int vectors = source.headDim / kCount;
  cx.each(regs, [&](int thread, ScoreRegs& r) {
    const std::uint8_t* rows[kTileSteps];
    std::uint32_t beside = 0;
    KVASIR_UNROLL
    for (int i = 0; i < kTileSteps; ++i) {
      const int token = tokenOf(i * (kScoreThreads / kRowThreads) + thread / kRowThreads);
      rows[i] = token < 0 ? nullptr : source.template row<T>(token, beside);
      KVASIR_UNROLL
      for (int h = 0; h < kSelectHeads; ++h) r.sums[i][h] = 0.0f;
    }
    r.keysRead = thread % kRowThreads == 0 ? beside : 0;
    for (int v = thread % kRowThreads; v < vectors; v += kRowThreads) {
      float x[kTileSteps][kCount];
      KVASIR_UNROLL
      for (int i = 0; i < kTileSteps; ++i) {
        Vec16 vector = {};
        if (rows[i] != nullptr) vector = cx.load16(rows[i] + 16 * v);
        unpack<T>(cx, vector, x[i]);
      }
      KVASIR_UNROLL
      for (int h = 0; h < kSelectHeads; ++h) {
        KVASIR_UNROLL
        for (int j = 0; j < kCount; j += 4) {
          const Vec16 q = cx.load16(shared.q + h * KVASIR_INDEX_MAX_DIM + v * kCount + j);
          KVASIR_UNROLL
          for (int k = 0; k < 4; ++k) {
            KVASIR_UNROLL
            for (int i = 0; i < kTileSteps; ++i) r.sums[i][h] = cx.fma(cx.asFloat(q.word[k]), x[i][j + k], r.sums[i][h]);
          }
        }
      }
    }
  });
  KVASIR_UNROLL
  for (int i = 0; i < kTileSteps; ++i) {
    KVASIR_UNROLL
    for (int h = 0; h < kSelectHeads; ++h) {
      cx.template warpSum<kRowThreads>(regs, [=](ScoreRegs& r) -> float& { return r.sums[i][h]; });
    }
  }
  cx.each(regs, [&](int thread, ScoreRegs& r) {
    KVASIR_UNROLL
    for (int i = 0; i < kTileSteps; ++i) {
      const int slot = i * (kScoreThreads / kRowThreads) + thread / kRowThreads;
      KVASIR_UNROLL
      for (int h = 0; h < kSelectHeads; ++h) {
        if (thread % kRowThreads == h) {
          shared.scores[h * kTileTokens + slot] = tokenOf(slot) < 0 ? minusInfinity() : source.scale * r.sums[i][h];
        }
      }
    }
  });
  if (source.isTiered) {
    cx.warpSum(regs, &ScoreRegs::keysRead);
    cx.each(regs, [&](int thread, ScoreRegs& r) {
      if (thread % kWarp == 0 && r.keysRead > 0) cx.atomicAdd(&source.hot.state->keysReadSince, r.keysRead);
    });
  }
  cx.barrier();
}

// Scores tiles first, first + step, ... below `tiles` for one query head a warp. tokenOf(i): the i-th token, or -1 for none;
// write(head, i, score) is told of each; done(head, largest, total) once: total = sum of 2^(score - largest).
template <class T, class Cx, class Threads, class Shared, class TokenOf, class Write, class Done>
KVASIR_DEVICE void scoreTiles(Cx& cx, Threads& regs, const Shared& shared, const ScoreSource& source, int first, int tiles,
                              int step, const TokenOf& tokenOf, const Write& write, const Done& done) {
  cx.each(regs, [&](int, ScoreRegs& r) {
    r.largest = minusInfinity();
    r.total = 0.0f;
  });
  for (int tile = first; tile < tiles; tile += step) {
    scoreTile<T>(cx, regs, shared, source, [&](int slot) { return tokenOf(tile * kTileTokens + slot); });
    cx.each(regs, [&](int thread, ScoreRegs& r) {
      const int head = thread / kWarp, lane = thread % kWarp;
      float best = minusInfinity();
      KVASIR_UNROLL
      for (int i = lane; i < kTileTokens; i += kWarp) {
        const float score = shared.scores[head * kTileTokens + i];
        write(head, tile * kTileTokens + i, score);
        best = score > best ? score : best;
      }
      r.tileLargest = best;
    });
    cx.warpMax(regs, &ScoreRegs::tileLargest);
    cx.each(regs, [&](int thread, ScoreRegs& r) {
      const int head = thread / kWarp, lane = thread % kWarp;
      const float largest = r.tileLargest > r.largest ? r.tileLargest : r.largest;
      r.total = r.largest == minusInfinity() ? 0.0f : r.total * cx.exp2(r.largest - largest);
      r.tileTotal = 0.0f;
      KVASIR_UNROLL
      for (int i = lane; i < kTileTokens; i += kWarp) {
        const float score = shared.scores[head * kTileTokens + i];
        if (score != minusInfinity()) r.tileTotal += cx.exp2(score - largest);
      }
      r.largest = largest;
    });
    cx.warpSum(regs, &ScoreRegs::tileTotal);
    cx.each(regs, [&](int, ScoreRegs& r) { r.total += r.tileTotal; });
    cx.barrier();
  }
  cx.each(regs, [&](int thread, ScoreRegs& r) {
    if (thread % kWarp == 0) done(thread / kWarp, r.largest, r.total);
  });
}

}  // namespace kvasir::gpu
