// Before a choice: what each row has to do, queries along the principal channels, scores of segment means, visible tokens.
#pragma once

#include "score_tiles.h"

namespace kvasir::gpu {

// Blocks along x: one that plans and turns the queries, those of the visible tokens, then 128 segments each. Along y:
// sequences and their KV heads. Reads means and visible keys once: a few hundred KB a KV head, so latency is what counts.
template <class T>
struct SelectPrepare {
  using Args = SelectArgs;

  static constexpr int kThreads = kScoreThreads;
  static constexpr int kMinBlocks = 4;
  static constexpr int kWarps = kThreads / kWarp;
  // Queries and tile, then `along`, then sums of warps.
  static constexpr int kMaxChannels = KVASIR_INDEX_MAX_DIM;
  static constexpr unsigned kSharedBytes = ScoreShared::kBytes + 4 * kMaxChannels + 128;

  struct Regs : ScoreRegs {
    float most, zeros;
    std::int32_t counts[3];
  };

  static Plan plan(const Args& args) {
    Plan plan;
    plan.gridX = static_cast<unsigned>(1 + args.kinds * KVASIR_SELECT_VISIBLE_PARTS + ceilDiv(args.op.maxSegments, kThreads));
    plan.gridY = static_cast<unsigned>(args.op.numSequences * args.op.kv.numKvHeads);
    plan.sharedBytes = kSharedBytes;
    return plan;
  }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const int s = cx.blockY() / args.op.kv.numKvHeads, kvHead = cx.blockY() % args.op.kv.numKvHeads;
    const KvasirSelectSequence& sequence = args.op.sequences[s];
    const int visibleBlocks = args.kinds * KVASIR_SELECT_VISIBLE_PARTS;
    typename Cx::template Threads<Regs> regs(cx);
    const auto shared = ScoreShared::carve(cx);
    if (cx.blockX() == 0) {
      makePlans(cx, regs, args, s, kvHead, sequence);
      if (!scoresExactly(args, sequence)) foldQueries(cx, regs, args, s, kvHead, sequence);
    } else if (cx.blockX() <= visibleBlocks) {
      scoreVisible(cx, regs, shared, args, s, kvHead, sequence, cx.blockX() - 1);
    } else if (!scoresExactly(args, sequence)) {
      scoreMeans(cx, shared, args, s, kvHead, sequence, (cx.blockX() - 1 - visibleBlocks) * kThreads);
    }
  }

 private:
  // Kept rows of [0, first), [first, end) and [end, numTokens).
  template <class Cx, class Threads>
  static KVASIR_DEVICE void makePlans(Cx& cx, Threads& regs, const Args& args, int s, int kvHead,
                                      const KvasirSelectSequence& sequence) {
    int first, end;
    candidateSpan(args, sequence, first, end);
    const int keptEnd = sequence.kept == nullptr ? 0 : least(sequence.keptEnd, sequence.numTokens - 1);
    auto sums = cx.template shared<std::int32_t>(3 * kWarps);
    cx.each(regs, [&](int thread, Regs& r) {
      const int bounds[4] = {0, first, end, sequence.numTokens};
      KVASIR_UNROLL
      for (int part = 0; part < 3; ++part) {
        r.counts[part] = thread == 0 ? bounds[part + 1] - bounds[part] : 0;
        const int from = bounds[part], to = least(bounds[part + 1], keptEnd);
        for (int word = from / 64 + thread; word * 64 < to; word += kThreads) {
          std::uint64_t dropped = ~sequence.kept[wide(kvHead) * wide(sequence.keptStride) + wide(word)];
          if (word * 64 < from) dropped &= ~std::uint64_t{0} << (from % 64);
          if (to - word * 64 < 64) dropped &= (std::uint64_t{1} << (to - word * 64)) - 1;
          r.counts[part] -= cx.popcount(static_cast<std::uint32_t>(dropped)) + cx.popcount(static_cast<std::uint32_t>(dropped >> 32));
        }
      }
    });
    KVASIR_UNROLL
    for (int part = 0; part < 3; ++part) {
      cx.warpSum(regs, [=](Regs& r) -> std::int32_t& { return r.counts[part]; });
    }
    cx.each(regs, [&](int thread, Regs& r) {
      if (thread % kWarp != 0) return;
      KVASIR_UNROLL
      for (int part = 0; part < 3; ++part) sums[3 * (thread / kWarp) + part] = r.counts[part];
    });
    cx.barrier();
    const int rowsOfHead = args.group / args.headsPerRow;
    cx.each([&](int thread) {
      std::int32_t counts[3] = {};
      for (int warp = 0; warp < kWarps; ++warp) {
        KVASIR_UNROLL
        for (int part = 0; part < 3; ++part) counts[part] += sums[3 * warp + part];
      }
      for (int i = thread; i < rowsOfHead; i += kThreads) {
        SelectPlan plan = {};
        plan.first = first;
        plan.end = end;
        plan.candidates = counts[1];
        plan.visible = counts[0] + counts[2];
        plan.wanted = least(counts[1], most(0, args.op.budgetTokens - plan.visible));
        plan.exact = scoresExactly(args, sequence) ? 1 : 0;
        plan.pooled = plan.exact ? plan.wanted : most(plan.wanted, least(args.op.poolTokens, counts[1]));
        planOf(args, s * args.work.rows + kvHead * rowsOfHead + i) = plan;
      }
      std::int32_t* bins = workAt<std::int32_t>(args, args.work.bins) + wide(s * args.work.rows + kvHead * rowsOfHead) * KVASIR_SELECT_BINS;
      for (int i = thread; i < rowsOfHead * KVASIR_SELECT_BINS; i += kThreads) bins[i] = 0;
    });
  }

  // Weights of the channels for each query head, rounded to 8 bits.
  template <class Cx, class Threads>
  static KVASIR_DEVICE void foldQueries(Cx& cx, Threads& regs, const Args& args, int s, int kvHead,
                                        const KvasirSelectSequence& sequence) {
    const int dim = args.op.kv.headDim, channels = args.index.channels, row = args.index.paddedChannels;
    const std::uint8_t* index = indexOf(args, sequence, kvHead);
    const Half* basis = reinterpret_cast<const Half*>(index);
    const float *steps = reinterpret_cast<const float*>(index + args.index.steps), *zeros = reinterpret_cast<const float*>(index + args.index.zeros);
    const int words = quads(args);
    auto along = cx.template shared<float>(kMaxChannels);
    auto sums = cx.template shared<float>(2 * kWarps);
    for (int h = 0; h < args.group; ++h) {
      const int head = s * args.op.numHeads + kvHead * args.group + h;
      const float* q = args.op.estimateQ + wide(head) * wide(dim);
      cx.each(regs, [&](int thread, Regs& r) {
        r.most = 0.0f;
        for (int n = thread; n < channels; n += kThreads) {
          float sum = 0.0f;
          for (int i = 0; i < dim; ++i) sum = cx.fma(q[i], cx.toFloat(basis[i * row + n]), sum);
          sum *= steps[n];
          along[n] = sum;
          const float size = sum < 0.0f ? -sum : sum;
          r.most = size > r.most ? size : r.most;
        }
      });
      cx.warpMax(regs, &Regs::most);
      cx.each(regs, [&](int thread, Regs& r) {
        if (thread % kWarp == 0) sums[thread / kWarp] = r.most;
      });
      cx.barrier();
      float most = 0.0f;
      for (int warp = 0; warp < kWarps; ++warp) {
        const float own = sums[warp];
        most = own > most ? own : most;
      }
      const float inverse = most > 1e-30f ? 127.0f / most : 0.0f;
      cx.each(regs, [&](int thread, Regs& r) {
        r.zeros = 0.0f;
        std::uint32_t* weights = workAt<std::uint32_t>(args, args.work.weights) + wide(head) * (2 * KVASIR_INDEX_MAX_DIM / 4);
        for (int quad = thread; quad < words; quad += kThreads) {
          std::uint32_t word = 0;
          for (int b = 0; b < 4; ++b) {
            const int n = 4 * quad + b;
            if (n >= channels) continue;
            // To the nearest whole number, ties to even.
            const float scaled = along[n] * inverse;
            const float weight = (scaled + 12582912.0f) - 12582912.0f;
            r.zeros = cx.fma(weight, zeros[n], r.zeros);
            word |= (static_cast<std::uint32_t>(static_cast<std::int32_t>(weight)) & 0xffu) << (8 * b);
          }
          weights[quad] = word;
        }
      });
      cx.warpSum(regs, &Regs::zeros);
      cx.each(regs, [&](int thread, Regs& r) {
        if (thread % kWarp == 0) sums[kWarps + thread / kWarp] = r.zeros;
      });
      cx.barrier();
      cx.each([&](int thread) {
        if (thread != 0) return;
        float total = 0.0f;
        for (int warp = 0; warp < kWarps; ++warp) total += sums[kWarps + warp];
        float* folded = workAt<float>(args, args.work.folded) + wide(head) * 2;
        const float slope = args.op.scale * kSelectLog2E * (most / 127.0f);
        folded[0] = slope;
        folded[1] = -slope * total;
      });
      cx.barrier();
    }
  }

  // The scale times q.mean of 128 segments.
  template <class Cx, class Shared>
  static KVASIR_DEVICE void scoreMeans(Cx& cx, const Shared& shared, const Args& args, int s, int kvHead,
                                       const KvasirSelectSequence& sequence, int firstSegment) {
    if (firstSegment >= sequence.numSegments) return;
    const int dim = args.op.kv.headDim, vectors = args.index.meanVectors;
    const std::uint8_t* index = indexOf(args, sequence, kvHead);
    const Half* meanSteps = reinterpret_cast<const Half*>(index + sequence.meanSteps);
    for (int h = 0; h < args.group; h += kSelectHeads) {
      const int head = s * args.op.numHeads + kvHead * args.group + h, heads = least(kSelectHeads, args.group - h);
      loadQueries(cx, args.op.estimateQ + wide(head) * wide(dim), heads, dim, shared.q);
      cx.each([&](int thread) {
        const int segment = firstSegment + thread;
        if (segment >= sequence.numSegments) return;
        const std::uint8_t* mean = index + sequence.means + wide(segment / kWarp) * wide(vectors) * (16 * kWarp) + wide(segment % kWarp) * 16;
        float sums[kSelectHeads] = {};
        for (int v = 0; v < vectors; ++v) {
          const Vec16 vector = cx.load16(mean + wide(v) * (16 * kWarp));
          if (args.op.index.vectorBits == 16) {
            float x[8];
            unpack<Half>(cx, vector, x);
            KVASIR_UNROLL
            for (int j = 0; j < 8; ++j) addMean(cx, shared.q, 8 * v + j, x[j], sums);
          } else {
            KVASIR_UNROLL
            for (int j = 0; j < 16; ++j) {
              addMean(cx, shared.q, 16 * v + j, static_cast<float>(static_cast<std::int8_t>(vector.word[j / 4] >> (8 * (j % 4)))), sums);
            }
          }
        }
        const float scale = args.op.scale * kSelectLog2E;
        const float by = args.op.index.vectorBits == 16 ? scale : scale * cx.toFloat(meanSteps[segment]);
        float* bases = workAt<float>(args, args.work.bases) + wide(head) * wide(args.op.maxSegments) + wide(segment);
        KVASIR_UNROLL
        for (int i = 0; i < kSelectHeads; ++i) {
          if (i < heads) bases[wide(i) * wide(args.op.maxSegments)] = by * sums[i];
        }
      });
      cx.barrier();
    }
  }

  template <class Cx, class Q>
  static KVASIR_DEVICE void addMean(Cx& cx, const Q& q, int at, float x, float (&sums)[kSelectHeads]) {
    // Beyond headDim a row has zeros, and so have the queries as far as they are there.
    if (at >= KVASIR_INDEX_MAX_DIM) return;
    KVASIR_UNROLL
    for (int i = 0; i < kSelectHeads; ++i) sums[i] = cx.fma(q[i * KVASIR_INDEX_MAX_DIM + at], x, sums[i]);
  }

  template <class Cx, class Threads, class Shared>
  static KVASIR_DEVICE void scoreVisible(Cx& cx, Threads& regs, const Shared& shared, const Args& args, int s, int kvHead,
                                         const KvasirSelectSequence& sequence, int block) {
    const int kind = block / KVASIR_SELECT_VISIBLE_PARTS, part = block % KVASIR_SELECT_VISIBLE_PARTS;
    const int dim = args.op.kv.headDim;
    int first, end;
    candidateSpan(args, sequence, first, end);
    const int count = first + sequence.numTokens - end;
    const ScoreSource source = scoreSource(args, kvHead, sequence.pages);
    const float* q = kind == args.kinds - 1 ? args.op.q : args.op.estimateQ;
    for (int h = 0; h < args.group; h += kSelectHeads) {
      const int head = s * args.op.numHeads + kvHead * args.group + h, heads = least(kSelectHeads, args.group - h);
      loadQueries(cx, q + wide(head) * wide(dim), heads, dim, shared.q);
      scoreTiles<T>(
          cx, regs, shared, source, part, ceilDiv(count, kTileTokens), KVASIR_SELECT_VISIBLE_PARTS,
          [&](int i) {
            if (i >= count) return -1;
            const int token = i < first ? i : end + i - first;
            return isKept(sequence, kvHead, token) ? token : -1;
          },
          [](int, int, float) {},
          [&](int own, float largest, float total) {
            if (own >= heads) return;
            const std::size_t at = (wide(kind) * wide(args.op.numSequences * args.op.numHeads) + wide(head + own)) * KVASIR_SELECT_VISIBLE_PARTS + wide(part);
            float* to = workAt<float>(args, args.work.visible) + 2 * at;
            to[0] = largest;
            to[1] = total;
          });
      cx.barrier();
    }
  }

 public:
  // Words of four weights.
  static KVASIR_BOTH int quads(const Args& args) { return 2 * args.index.words4 + 4 * args.index.words2 + 8 * args.index.words1; }
};

}  // namespace kvasir::gpu
