// First scores of all candidates: estimates from codes, or exact ones; with each chunk's part of the softmax sums.
#pragma once

#include "score_tiles.h"

namespace kvasir::gpu {

// A chunk of 1024 tokens of a KV head, four tiles of 32 tokens a warp: every load is 512 neighbouring bytes, and a weight that
// is read from shared memory meets four tokens. Bytes a token and KV head: its codes, 4 of its segment, 4 a query head out;
// at two bits and headDim 128 about 230 instructions a token, so arithmetic and memory bound it alike.
template <int kHeads>
struct SelectScan {
  using Args = SelectArgs;

  static constexpr int kThreads = 256;
  static constexpr int kMinBlocks = kHeads == 1 ? 3 : 2;
  static constexpr int kWarps = kThreads / kWarp;
  static constexpr int kTiles = KVASIR_SELECT_CHUNK / kThreads;  // of a warp
  static constexpr int kMaxQuads = 2 * KVASIR_INDEX_MAX_DIM / 4;
  static constexpr unsigned kSharedBytes = 4 * kHeads * (kMaxQuads + 2 * kWarps);

  struct Regs {
    float scores[kTiles][kHeads];
    float largest[kHeads], total[kHeads];
  };

  static Plan plan(const Args& args) {
    return {static_cast<unsigned>(args.work.chunks), static_cast<unsigned>(args.op.numSequences * args.op.kv.numKvHeads), kSharedBytes};
  }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const int s = cx.blockY() / args.op.kv.numKvHeads, kvHead = cx.blockY() % args.op.kv.numKvHeads;
    const KvasirSelectSequence& sequence = args.op.sequences[s];
    int first, end;
    candidateSpan(args, sequence, first, end);
    const int start = cx.blockX() * KVASIR_SELECT_CHUNK;
    if (scoresExactly(args, sequence) || start >= end || start + KVASIR_SELECT_CHUNK <= first) return;

    typename Cx::template Threads<Regs> regs(cx);
    auto weights = cx.template shared<std::uint32_t>(kHeads * kMaxQuads);
    auto largest = cx.template shared<float>(kHeads * kWarps);
    auto totals = cx.template shared<float>(kHeads * kWarps);
    const int quads = 2 * args.index.words4 + 4 * args.index.words2 + 8 * args.index.words1;
    for (int h = 0; h < args.group; h += kHeads) {
      const int head = s * args.op.numHeads + kvHead * args.group + h, heads = least(kHeads, args.group - h);
      cx.each([&](int thread) {
        for (int i = thread; i < quads * kHeads; i += kThreads) {
          const int own = i % kHeads;
          weights[i] = own < heads ? workAt<std::uint32_t>(args, args.work.weights)[wide(head + own) * kMaxQuads + wide(i / kHeads)] : 0;
        }
      });
      cx.barrier();
      cx.each(regs, [&](int thread, Regs& r) {
        estimate(cx, args, sequence, kvHead, start, first, end, head, heads, weights, thread, r);
      });
      KVASIR_UNROLL
      for (int i = 0; i < kHeads; ++i) cx.warpMax(regs, [=](Regs& r) -> float& { return r.largest[i]; });
      cx.each(regs, [&](int thread, Regs& r) {
        if (thread % kWarp != 0) return;
        KVASIR_UNROLL
        for (int i = 0; i < kHeads; ++i) largest[i * kWarps + thread / kWarp] = r.largest[i];
      });
      cx.barrier();
      cx.each(regs, [&](int, Regs& r) {
        KVASIR_UNROLL
        for (int i = 0; i < kHeads; ++i) {
          r.largest[i] = minusInfinity();
          for (int warp = 0; warp < kWarps; ++warp) {
            const float own = largest[i * kWarps + warp];
            r.largest[i] = own > r.largest[i] ? own : r.largest[i];
          }
          r.total[i] = 0.0f;
          KVASIR_UNROLL
          for (int tile = 0; tile < kTiles; ++tile) {
            if (r.scores[tile][i] != minusInfinity()) r.total[i] += cx.exp2(r.scores[tile][i] - r.largest[i]);
          }
        }
      });
      KVASIR_UNROLL
      for (int i = 0; i < kHeads; ++i) cx.warpSum(regs, [=](Regs& r) -> float& { return r.total[i]; });
      cx.each(regs, [&](int thread, Regs& r) {
        if (thread % kWarp != 0) return;
        KVASIR_UNROLL
        for (int i = 0; i < kHeads; ++i) totals[i * kWarps + thread / kWarp] = r.total[i];
      });
      cx.barrier();
      cx.each(regs, [&](int thread, Regs& r) {
        if (thread != 0) return;
        KVASIR_UNROLL
        for (int i = 0; i < kHeads; ++i) {
          float total = 0.0f;
          for (int warp = 0; warp < kWarps; ++warp) total += totals[i * kWarps + warp];
          if (i >= heads) continue;
          float* partial = workAt<float>(args, args.work.partials) + 2 * (wide(head + i) * wide(args.work.chunks) + wide(cx.blockX()));
          partial[0] = r.largest[i];
          partial[1] = total;
        }
      });
      cx.barrier();
    }
  }

 private:
  template <class Cx, class Weights>
  static KVASIR_DEVICE void estimate(Cx& cx, const Args& args, const KvasirSelectSequence& sequence, int kvHead, int start,
                                     int first, int end, int head, int heads, const Weights& weights, int thread, Regs& r) {
    const int warp = thread / kWarp, lane = thread % kWarp, vectors = args.index.codeVectors;
    const int words4 = args.index.words4, words2 = args.index.words2, words = words4 + words2 + args.index.words1;
    const std::size_t tileBytes = wide(vectors) * (16 * kWarp);
    const std::uint8_t* codes = indexOf(args, sequence, kvHead) + sequence.codes + wide(start / kWarp + warp * kTiles) * tileBytes + wide(lane) * 16;
    std::int32_t sums[kTiles][kHeads];
    bool candidate[kTiles];
    KVASIR_UNROLL
    for (int tile = 0; tile < kTiles; ++tile) {
      const int token = start + (warp * kTiles + tile) * kWarp + lane;
      candidate[tile] = token >= first && token < end;
      KVASIR_UNROLL
      for (int i = 0; i < kHeads; ++i) sums[tile][i] = 0;
    }
    int quad = 0;
    for (int v = 0; v < vectors; ++v) {
      Vec16 code[kTiles];
      KVASIR_UNROLL
      for (int tile = 0; tile < kTiles; ++tile) {
        code[tile] = Vec16{};
        if (candidate[tile]) code[tile] = cx.load16(codes + wide(tile) * tileBytes + wide(v) * (16 * kWarp));
      }
      KVASIR_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int word = 4 * v + i;
        if (word >= words) break;
        const int bits = word < words4 ? 4 : word < words4 + words2 ? 2 : 1;
        const std::uint32_t mask = bits == 4 ? 0x0f0f0f0fu : bits == 2 ? 0x03030303u : 0x01010101u;
        for (int shift = 0; shift < 8; shift += bits, ++quad) {
          std::uint32_t w[kHeads];
          if constexpr (kHeads == 4) {
            const Vec16 all = cx.load16(weights + quad * kHeads);
            KVASIR_UNROLL
            for (int k = 0; k < 4; ++k) w[k] = all.word[k];
          } else {
            KVASIR_UNROLL
            for (int k = 0; k < kHeads; ++k) w[k] = weights[quad * kHeads + k];
          }
          KVASIR_UNROLL
          for (int tile = 0; tile < kTiles; ++tile) {
            const std::uint32_t x = (code[tile].word[i] >> shift) & mask;
            KVASIR_UNROLL
            for (int k = 0; k < kHeads; ++k) sums[tile][k] = cx.dot4(x, w[k], sums[tile][k]);
          }
        }
      }
    }
    const float* folded = workAt<float>(args, args.work.folded) + wide(head) * 2;
    KVASIR_UNROLL
    for (int k = 0; k < kHeads; ++k) r.largest[k] = minusInfinity();
    KVASIR_UNROLL
    for (int tile = 0; tile < kTiles; ++tile) {
      const int token = start + (warp * kTiles + tile) * kWarp + lane;
      const bool open = candidate[tile] && isKept(sequence, kvHead, token);
      const int segment = open ? sequence.segmentOf[token] : 0;
      KVASIR_UNROLL
      for (int k = 0; k < kHeads; ++k) {
        float score = minusInfinity();
        if (open && k < heads) {
          const float base = workAt<float>(args, args.work.bases)[wide(head + k) * wide(args.op.maxSegments) + wide(segment)];
          score = cx.fma(static_cast<float>(sums[tile][k]), folded[2 * k], base + folded[2 * k + 1]);
        }
        r.scores[tile][k] = score;
        r.largest[k] = score > r.largest[k] ? score : r.largest[k];
        if (k < heads) workAt<float>(args, args.work.scores)[wide(head + k) * tokenStride(args) + wide(token)] = score;
      }
    }
  }
};

// Exact scores: of all candidates, a chunk of 1024 at a time, where a sequence has no codes; or of the pool, 64 at a time.
// Reads every key once for four query heads: 256 bytes a token at headDim 128 in f16, and bound by that.
template <class T, bool kPool>
struct SelectScores {
  using Args = SelectArgs;

  static constexpr int kThreads = kScoreThreads;
  static constexpr int kMinBlocks = 4;
  static constexpr unsigned kSharedBytes = ScoreShared::kBytes;

  static Plan plan(const Args& args) {
    return {static_cast<unsigned>(kPool ? args.work.poolChunks : args.work.chunks),
            static_cast<unsigned>(args.op.numSequences * (kPool ? args.work.rows : args.op.kv.numKvHeads)), kSharedBytes};
  }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const int perSequence = kPool ? args.work.rows : args.op.kv.numKvHeads;
    const int s = cx.blockY() / perSequence, own = cx.blockY() % perSequence;
    const int kvHead = kPool ? own * args.headsPerRow / args.group : own;
    const KvasirSelectSequence& sequence = args.op.sequences[s];
    int first, end;
    candidateSpan(args, sequence, first, end);
    const int dim = args.op.kv.headDim, chunkTokens = kPool ? KVASIR_SELECT_POOL_CHUNK : KVASIR_SELECT_CHUNK;
    const int start = cx.blockX() * chunkTokens;
    const int count = kPool ? workAt<std::int32_t>(args, args.work.poolCounts)[cx.blockY()] : end;
    if (start >= count || (!kPool && (!scoresExactly(args, sequence) || start + chunkTokens <= first))) return;
    const std::int32_t* pool = workAt<std::int32_t>(args, args.work.pool) + wide(cx.blockY()) * wide(args.work.poolStride);
    const std::size_t stride = kPool ? wide(args.work.poolStride) : tokenStride(args);
    const std::size_t chunks = wide(kPool ? args.work.poolChunks : args.work.chunks);
    float* scores = workAt<float>(args, kPool ? args.work.poolScores : args.work.scores);
    float* partials = workAt<float>(args, kPool ? args.work.poolPartials : args.work.partials);

    typename Cx::template Threads<ScoreRegs> regs(cx);
    const auto shared = ScoreShared::carve(cx);
    const ScoreSource source = scoreSource(args, kvHead, sequence.pages);
    const int numHeads = kPool ? args.headsPerRow : args.group, firstHead = s * args.op.numHeads + own * numHeads;
    for (int h = 0; h < numHeads; h += kSelectHeads) {
      const int head = firstHead + h, heads = least(kSelectHeads, numHeads - h);
      loadQueries(cx, args.op.q + wide(head) * wide(dim), heads, dim, shared.q);
      scoreTiles<T>(
          cx, regs, shared, source, 0, chunkTokens / kTileTokens, 1,
          [&](int i) {
            const int at = start + i;
            if (at >= count) return -1;
            if (kPool) return static_cast<int>(pool[at]);
            return at >= first && isKept(sequence, kvHead, at) ? at : -1;
          },
          [&](int k, int i, float score) {
            if (k < heads) scores[wide(head + k) * stride + wide(start + i)] = score;
          },
          [&](int k, float largest, float total) {
            if (k >= heads) return;
            float* partial = partials + 2 * (wide(head + k) * chunks + wide(cx.blockX()));
            partial[0] = largest;
            partial[1] = total;
          });
      cx.barrier();
    }
  }
};

}  // namespace kvasir::gpu
