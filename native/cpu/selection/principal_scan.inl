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

// (V q) in steps, rounded to 8 bits a head, in the order of the channels.
template <int kHeads>
void principalWeights(const PrincipalScanTask& task, const PrincipalLayout& layout, const float* q, int qStride,
                      float* along, std::int8_t* weights, PrincipalQuery* folded) {
  const int row = layout.paddedChannels();
  for (int at = 0; at < row; at += kLanes) {
    Vec::F sums[kHeads];
    for (int h = 0; h < kHeads; ++h) sums[h] = Vec::zero();
    for (int i = 0; i < layout.headDim; ++i) {
      const Vec::F direction = Vec::load(task.index.basis + i * row + at);
      for (int h = 0; h < kHeads; ++h) sums[h] = Vec::fma(Vec::set(q[h * qStride + i]), direction, sums[h]);
    }
    const Vec::F step = Vec::load(task.index.steps + at);
    for (int h = 0; h < kHeads; ++h) Vec::store(along + h * row + at, Vec::mul(sums[h], step));
  }
  const int slots = layout.slots();
  for (int h = 0; h < kHeads; ++h) {
    Vec::F largest = Vec::zero();
    for (int at = 0; at < row; at += kLanes) largest = Vec::max(largest, Vec::abs(Vec::load(along + h * row + at)));
    const float most = Vec::maxLane(largest), inverse = most > 1e-30f ? 127.0f / most : 0.0f;
    std::int8_t* w = weights + h * slots;
    std::memset(w, 0, static_cast<std::size_t>(slots));
    float zero = 0.0f;
    for (int n = 0; n < layout.channels(); ++n) {
      const float rounded = nearest(along[h * row + n] * inverse);
      w[n] = static_cast<std::int8_t>(rounded);
      zero += rounded * principalZero(layout.bitsOf(n));
    }
    folded[h].slope = task.queries.scale * (most / 127.0f);
    folded[h].zero = -folded[h].slope * zero;
  }
}

// Scores of segments [first, first + count) without residuals, first a multiple of 16.
template <int kVectorBits, int kHeads>
void principalBases(const PrincipalScanTask& task, int first, int count, const float* q, int qStride,
                    const PrincipalQuery* folded, float* out, int outStride) {
  const int dim = task.headDim;
  for (int at = 0; at < count; at += kMeanLanes) {
    const std::uint8_t* group =
        task.index.means + static_cast<std::size_t>((first + at) / kMeanLanes) * meanGroupBytes(dim, kVectorBits);
    for (int lane = 0; lane < kMeanLanes; lane += kLanes) {
      Vec::F sums[kHeads];
      for (int h = 0; h < kHeads; ++h) sums[h] = Vec::zero();
      for (int i = 0; i < dim; ++i) {
        const Vec::F mean = loadMean<kVectorBits>(group, i * kMeanLanes + lane);
        for (int h = 0; h < kHeads; ++h) sums[h] = Vec::fma(Vec::set(q[h * qStride + i]), mean, sums[h]);
      }
      const Vec::F scale = Vec::set(task.queries.scale);
      const Vec::F step = kVectorBits == 16 ? scale : Vec::mul(scale, Vec::load(task.index.meanSteps + first + at + lane));
      for (int h = 0; h < kHeads; ++h) {
        Vec::store(out + h * outStride + at + lane, Vec::fma(sums[h], step, Vec::set(folded[h].zero)));
      }
    }
  }
}

template <int kBits, int kHeads>
[[gnu::always_inline]] inline void addWord(const std::uint8_t* codes, const std::int8_t* weights, int stride,
                                           typename TokenLanes::I* sums) {
  constexpr int kQuads = 8 / kBits;
  typename TokenLanes::I x[kQuads];
  TokenLanes::template expand<kBits>(TokenLanes::load(codes), x);
  for (int h = 0; h < kHeads; ++h) {
    sums[h] = TokenLanes::template addDots<kQuads>(sums[h], x, weights + h * stride);
  }
}

// Words known at compile time unroll; 0: those of the layout.
template <int kHeads, int kWords4, int kWords2, int kWords1>
void principalBlocks(const PrincipalScanTask& task, const PrincipalLayout& layout, const std::int8_t* weights,
                     const PrincipalQuery* folded, const float* bases, int firstSegment, int baseStride, float* out) {
  constexpr bool kKnown = kWords4 + kWords2 + kWords1 > 0;
  const int words4 = kKnown ? kWords4 : layout.words4, words2 = kKnown ? kWords2 : layout.words2;
  const int words1 = kKnown ? kWords1 : layout.words1;
  const std::size_t blockBytes = layout.blockBytes();
  constexpr std::size_t kVectorBytes = static_cast<std::size_t>(kBlockTokens) * kWordBytes;
  const int stride = layout.slots();
  const std::uint8_t* codes =
      task.index.codes + static_cast<std::size_t>(task.blocks[0].token / kBlockTokens) * blockBytes;
  constexpr int kAhead = 6;
  for (int n = 0; n < task.numBlocks; ++n, codes += blockBytes) {
    const SegmentBlock& block = task.blocks[n];
    prefetch(codes + kAhead * blockBytes, static_cast<int>(blockBytes));
    const float* base = bases + block.segment - firstSegment;
    for (int lane = 0; lane < kBlockTokens; lane += kLanes) {
      typename TokenLanes::I sums[kHeads];
      for (int h = 0; h < kHeads; ++h) sums[h] = TokenLanes::zero();
      const std::uint8_t* at = codes + lane * kWordBytes;
      const std::int8_t* w = weights;
      for (int word = 0; word < words4; ++word, at += kVectorBytes, w += 8) addWord<4, kHeads>(at, w, stride, sums);
      for (int word = 0; word < words2; ++word, at += kVectorBytes, w += 16) addWord<2, kHeads>(at, w, stride, sums);
      for (int word = 0; word < words1; ++word, at += kVectorBytes, w += 32) addWord<1, kHeads>(at, w, stride, sums);
      const std::uint8_t* places = task.places + n * kBlockTokens + lane;
      for (int h = 0; h < kHeads; ++h) {
        const Vec::F score = Vec::fma(TokenLanes::toFloats(sums[h]), Vec::set(folded[h].slope),
                                      TokenLanes::spread(base + h * baseStride, places));
        Vec::store(out + static_cast<std::size_t>(h) * task.outStride + block.out + lane, score);
      }
    }
  }
}

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

  float* out = task.out + static_cast<std::size_t>(firstHead) * task.outStride;
  const auto scanBlocks = [&](auto blocks) {
    blocks(task, layout, weights, folded, bases, firstSegment, baseStride, out);
  };
  const auto is = [&](int words4, int words2, int words1) {
    return layout.words4 == words4 && layout.words2 == words2 && layout.words1 == words1;
  };
  // Two bits a channel at headDim 64 and 128.
  if (is(2, 1, 1)) scanBlocks(principalBlocks<kHeads, 2, 1, 1>);
  else if (is(4, 2, 2)) scanBlocks(principalBlocks<kHeads, 4, 2, 2>);
  else scanBlocks(principalBlocks<kHeads, 0, 0, 0>);
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
