// Estimates from principal codes, on any `Vec` and its `TokenLanes`: a lane a token. Included by body.inl.
#pragma once

#include "principal_layout.h"

namespace kvasir::selection {
namespace {

// What a query head becomes before it meets tokens.
struct PrincipalQuery {
  float slope;  // of a sum of products
  float zero;   // score of all codes 0, without the mean
};

constexpr int kVectorsAtOnce = 4;

// out[h][k] = sum over i of q[h][i] * load(i, k), for kVectors vectors of lanes k: so many chains of sums that none waits
// for the one before.
template <int kHeads, int kVectors, class Load>
[[gnu::always_inline]] inline void dotColumns(const float* q, int qStride, int dim, Load load, Vec::F (*sums)[kHeads]) {
  for (int v = 0; v < kVectors; ++v) {
    for (int h = 0; h < kHeads; ++h) sums[v][h] = Vec::zero();
  }
  for (int i = 0; i < dim; ++i) {
    Vec::F x[kVectors];
    for (int v = 0; v < kVectors; ++v) x[v] = load(i, v);
    for (int h = 0; h < kHeads; ++h) {
      const Vec::F by = Vec::set(q[h * qStride + i]);
      for (int v = 0; v < kVectors; ++v) sums[v][h] = Vec::fma(by, x[v], sums[v][h]);
    }
  }
}

// (V q) in steps, channels from `at` on.
template <int kHeads, int kVectors>
void stepsAlong(const PrincipalScanTask& task, int row, int at, const float* q, int qStride, float* along) {
  Vec::F sums[kVectors][kHeads];
  const std::uint16_t* basis = task.index.basis + at;
  dotColumns<kHeads, kVectors>(q, qStride, task.headDim, [&](int i, int v) { return Vec::load(basis + i * row + v * kLanes); },
                               sums);
  for (int v = 0; v < kVectors; ++v) {
    const Vec::F step = Vec::load(task.index.steps + at + v * kLanes);
    for (int h = 0; h < kHeads; ++h) Vec::store(along + h * row + at + v * kLanes, Vec::mul(sums[v][h], step));
  }
}

// The same rounded to 8 bits a head, in the order of the channels.
template <int kHeads>
void principalWeights(const PrincipalScanTask& task, const PrincipalLayout& layout, const float* q, int qStride,
                      float* along, std::int8_t* weights, PrincipalQuery* folded) {
  const int row = layout.paddedChannels(), stride = layout.weightStride();
  int at = 0;
  for (; at + kVectorsAtOnce * kLanes <= row; at += kVectorsAtOnce * kLanes) {
    stepsAlong<kHeads, kVectorsAtOnce>(task, row, at, q, qStride, along);
  }
  for (; at < row; at += kLanes) stepsAlong<kHeads, 1>(task, row, at, q, qStride, along);
  for (int h = 0; h < kHeads; ++h) {
    Vec::F largest = Vec::zero(), zeros = Vec::zero();
    for (int n = 0; n < row; n += kLanes) largest = Vec::max(largest, Vec::abs(Vec::load(along + h * row + n)));
    const float most = Vec::maxLane(largest);
    const Vec::F inverse = Vec::set(most > 1e-30f ? 127.0f / most : 0.0f);
    std::int8_t* w = weights + h * stride;
    std::memset(w, 0, static_cast<std::size_t>(stride));
    for (int n = 0; n < row; n += kLanes) {
      const Vec::F rounded = Vec::round(Vec::mul(Vec::load(along + h * row + n), inverse));
      Codes::storeRounded(w + n, rounded);
      zeros = Vec::fma(rounded, Vec::load(task.index.zeros + n), zeros);
    }
    folded[h].slope = task.queries.scale * (most / 127.0f);
    folded[h].zero = -folded[h].slope * Vec::sum(zeros);
  }
}

// Scores of kGroups groups of segments without residuals.
template <int kVectorBits, int kHeads, int kGroups>
void groupBases(const PrincipalScanTask& task, int first, const float* q, int qStride, const PrincipalQuery* folded,
                float* out, int outStride) {
  const std::size_t groupBytes = meanGroupBytes(task.headDim, kVectorBits);
  const std::uint8_t* means = task.index.means + static_cast<std::size_t>(first / kMeanLanes) * groupBytes;
  prefetch(means + kGroups * groupBytes, static_cast<int>(kGroups * groupBytes));
  for (int lane = 0; lane < kMeanLanes; lane += kLanes) {
    Vec::F sums[kGroups][kHeads];
    dotColumns<kHeads, kGroups>(
        q, qStride, task.headDim,
        [&](int i, int v) { return loadMean<kVectorBits>(means + static_cast<std::size_t>(v) * groupBytes, i * kMeanLanes + lane); },
        sums);
    const Vec::F scale = Vec::set(task.queries.scale);
    for (int v = 0; v < kGroups; ++v) {
      const int at = v * kMeanLanes + lane;
      const Vec::F step = kVectorBits == 16 ? scale : Vec::mul(scale, Vec::load(task.index.meanSteps + first + at));
      for (int h = 0; h < kHeads; ++h) {
        Vec::store(out + h * outStride + at, Vec::fma(sums[v][h], step, Vec::set(folded[h].zero)));
      }
    }
  }
}

// Those of segments [first, first + count), both multiples of 16.
template <int kVectorBits, int kHeads>
void principalBases(const PrincipalScanTask& task, int first, int count, const float* q, int qStride,
                    const PrincipalQuery* folded, float* out, int outStride) {
  int at = 0;
  for (; at + kVectorsAtOnce * kMeanLanes <= count; at += kVectorsAtOnce * kMeanLanes) {
    groupBases<kVectorBits, kHeads, kVectorsAtOnce>(task, first + at, q, qStride, folded, out + at, outStride);
  }
  for (; at < count; at += kMeanLanes) {
    groupBases<kVectorBits, kHeads, 1>(task, first + at, q, qStride, folded, out + at, outStride);
  }
}

// A word of kBlocks blocks, which share the weights that they load.
template <int kBits, int kHeads, int kBlocks>
[[gnu::always_inline]] inline void addWord(const std::uint8_t* codes, std::size_t blockBytes, const std::int8_t* weights,
                                           int stride, typename TokenLanes::I (*sums)[kHeads]) {
  constexpr int kQuads = 8 / kBits;
  typename TokenLanes::I x[kBlocks][kQuads];
  for (int b = 0; b < kBlocks; ++b) {
    TokenLanes::template expand<kBits>(TokenLanes::load(codes + static_cast<std::size_t>(b) * blockBytes), x[b]);
  }
  for (int h = 0; h < kHeads; ++h) {
    typename TokenLanes::I w[kQuads];
    for (int n = 0; n < kQuads; ++n) w[n] = TokenLanes::broadcast(weights + h * stride + kQuadChannels * n);
    for (int b = 0; b < kBlocks; ++b) sums[b][h] = TokenLanes::template addDots<kQuads>(sums[b][h], x[b], w);
  }
}

// What the blocks of a task share.
template <int kHeads>
struct PrincipalScan {
  const PrincipalScanTask& task;
  const PrincipalLayout& layout;
  const std::int8_t* weights;
  const PrincipalQuery* folded;
  const float* bases;
  int firstSegment, baseStride;
  float* out;

  // kBlocks blocks from n on. Words known at compile time unroll; kWords4 = -1: those of the layout.
  template <int kBlocks, int kWords4, int kWords2, int kWords1>
  [[gnu::always_inline]] inline void blocksAt(int n, const std::uint8_t* codes) const {
    const int words4 = kWords4 < 0 ? layout.words4 : kWords4, words2 = kWords4 < 0 ? layout.words2 : kWords2;
    const int words1 = kWords4 < 0 ? layout.words1 : kWords1;
    constexpr std::size_t kVectorBytes = static_cast<std::size_t>(kBlockTokens) * kWordBytes;
    const std::size_t blockBytes = layout.blockBytes();
    const int stride = layout.weightStride();
    for (int lane = 0; lane < kBlockTokens; lane += kLanes) {
      typename TokenLanes::I sums[kBlocks][kHeads];
      for (int b = 0; b < kBlocks; ++b) {
        for (int h = 0; h < kHeads; ++h) sums[b][h] = TokenLanes::zero();
      }
      const std::uint8_t* at = codes + lane * kWordBytes;
      const std::int8_t* w = weights;
      for (int i = 0; i < words4; ++i, at += kVectorBytes, w += 8) addWord<4, kHeads, kBlocks>(at, blockBytes, w, stride, sums);
      for (int i = 0; i < words2; ++i, at += kVectorBytes, w += 16) addWord<2, kHeads, kBlocks>(at, blockBytes, w, stride, sums);
      for (int i = 0; i < words1; ++i, at += kVectorBytes, w += 32) addWord<1, kHeads, kBlocks>(at, blockBytes, w, stride, sums);
      for (int b = 0; b < kBlocks; ++b) {
        const SegmentBlock& block = task.blocks[n + b];
        const float* base = bases + block.segment - firstSegment;
        const std::uint8_t* places = task.places + (n + b) * kBlockTokens + lane;
        for (int h = 0; h < kHeads; ++h) {
          const Vec::F score = Vec::fma(TokenLanes::toFloats(sums[b][h]), Vec::set(folded[h].slope),
                                        TokenLanes::spread(base + h * baseStride, places));
          Vec::store(out + static_cast<std::size_t>(h) * task.outStride + block.out + lane, score);
        }
      }
    }
  }

  template <int kWords4, int kWords2, int kWords1>
  void all() const {
    const std::size_t blockBytes = layout.blockBytes();
    const std::uint8_t* codes =
        task.index.codes + static_cast<std::size_t>(task.blocks[0].token / kBlockTokens) * blockBytes;
    constexpr int kAhead = 8;
    int n = 0;
    for (; n + 2 <= task.numBlocks; n += 2, codes += 2 * blockBytes) {
      prefetch(codes + kAhead * blockBytes, static_cast<int>(2 * blockBytes));
      blocksAt<2, kWords4, kWords2, kWords1>(n, codes);
    }
    if (n < task.numBlocks) blocksAt<1, kWords4, kWords2, kWords1>(n, codes);
  }
};

template <int kHeads>
void principalHeads(const PrincipalScanTask& task, const PrincipalLayout& layout, int firstHead) {
  const int paddedDim = codeUnits(task.headDim) * kUnitChannels;
  const SegmentBlock& last = task.blocks[task.numBlocks - 1];
  const int firstSegment = task.blocks[0].segment / kMeanLanes * kMeanLanes;
  const int lastSegment = last.segment + task.places[(task.numBlocks - 1) * kBlockTokens + last.count - 1];
  const int count = (lastSegment + 1 - firstSegment + kMeanLanes - 1) / kMeanLanes * kMeanLanes;
  const float* q = task.queries.q + firstHead * paddedDim;

  float* along = reinterpret_cast<float*>(task.work);
  float* bases = along + kMaxHeadsAtOnce * layout.paddedChannels();
  // A spread reads up to 16 bases from the first one of its block.
  const int baseStride = count + kMeanLanes;
  std::int8_t* weights = reinterpret_cast<std::int8_t*>(bases + kMaxHeadsAtOnce * baseStride);
  PrincipalQuery folded[kHeads];
  principalWeights<kHeads>(task, layout, q, paddedDim, along, weights, folded);
  if (task.vectorBits == 16) principalBases<16, kHeads>(task, firstSegment, count, q, paddedDim, folded, bases, baseStride);
  else principalBases<8, kHeads>(task, firstSegment, count, q, paddedDim, folded, bases, baseStride);

  const PrincipalScan<kHeads> scan = {task,  layout,       weights,    folded,
                                      bases, firstSegment, baseStride, task.out + static_cast<std::size_t>(firstHead) * task.outStride};
  const auto is = [&](int words4, int words2, int words1) {
    return layout.words4 == words4 && layout.words2 == words2 && layout.words1 == words1;
  };
  // Two bits a channel at headDim 64 and 128.
  if (is(2, 1, 1)) scan.template all<2, 1, 1>();
  else if (is(4, 2, 2)) scan.template all<4, 2, 2>();
  else scan.template all<-1, 0, 0>();
}

void principalScan(const PrincipalScanTask& task) {
  const PrincipalLayout layout(task.headDim, task.codeBits);
  for (int head = 0; head < task.queries.group; head += kMaxHeadsAtOnce) {
    const int heads = task.queries.group - head;
    if (heads == 1) principalHeads<1>(task, layout, head);
    else if (heads == 2) principalHeads<2>(task, layout, head);
    else if (heads == 3) principalHeads<3>(task, layout, head);
    else principalHeads<kMaxHeadsAtOnce>(task, layout, head);
  }
}

}  // namespace
}  // namespace kvasir::selection
