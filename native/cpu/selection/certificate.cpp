#include "certificate.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "../simd/half.h"
#include "channel_storage.h"
#include "layout.h"
#include "principal_storage.h"

namespace kvasir::selection {
namespace {

// Largest |q.k - estimate| in base-2 scores for the tokens of a segment is `norm` * radius + `rounding` * step.
struct QueryBound {
  float norm;
  float rounding;
};

// Weights along principal channels are whole multiples of max |w| / 127 a head, and no |x - zero| is above the zero.
QueryBound principalBound(const PrincipalStorage& storage, const PrincipalView& view, const float* q, int dim, float scale) {
  const PrincipalLayout& layout = storage.layout();
  double squares = 0;
  for (int i = 0; i < dim; ++i) squares += static_cast<double>(q[i]) * static_cast<double>(q[i]);
  float largest = 0.0f, zeros = 0.0f;
  for (int n = 0; n < layout.channels(); ++n) {
    float along = 0.0f;
    for (int i = 0; i < dim; ++i) along += q[i] * halfToFloat(view.basis[i * layout.paddedChannels() + n]);
    largest = std::max(largest, std::fabs(along * view.steps[n]));
    zeros += principalZero(layout.bitsOf(n));
  }
  return {scale * static_cast<float>(std::sqrt(squares)), scale * 0.5f * largest * 1.001f / 127.0f * zeros};
}

QueryBound queryBound(const float* q, int dim, int codeBits, float scale) {
  double squares = 0;
  float largest = 0.0f;
  for (int i = 0; i < dim; ++i) {
    squares += static_cast<double>(q[i]) * static_cast<double>(q[i]);
    largest = std::max(largest, std::fabs(q[i]));
  }
  const float norm = scale * static_cast<float>(std::sqrt(squares));
  if (codeBits == 0) return {norm, 0.0f};
  const CodeScale codes = codeScale(codeBits);
  // Weights are whole multiples of max |q e| / 127, and no |step - zero| is above the zero.
  return {norm, scale * codes.unit * static_cast<float>(codes.zero * dim) * 0.5f * largest * 255.0f / 127.0f};
}

// What a block's estimates may be off by: `norm` and `rounding` of a query times these.
struct BlockErrors {
  float radius, step;
};

BlockErrors channelErrors(const Bounds& bounds, int segment) {
  const SegmentIndexShape& shape = bounds.index.shape();
  const std::uint8_t* stats = channelsOf(bounds.index).head(bounds.input.layer, bounds.kvHead).stats;
  StatsTail tail;
  std::memcpy(&tail, stats + static_cast<std::size_t>(segment + 1) * statBytes(shape.headDim, shape.vectorBits) - sizeof tail,
              sizeof tail);
  return {halfToFloat(tail.radius), halfToFloat(tail.deviationStep)};
}

BlockErrors principalErrors(const Bounds& bounds, int n) {
  const SegmentBlock& block = bounds.plan.blocks[n];
  const std::uint8_t* places = bounds.index.places() + block.token;
  float radius = 0.0f;
  for (int place = 0; place <= places[block.count - 1]; ++place) {
    radius = std::max(radius, principalOf(bounds.index).radius(bounds.input.layer, bounds.kvHead, block.segment + place));
  }
  return {radius, 1.0f};
}

bool inPool(const Cut& cut, float value, std::int32_t token) {
  std::int32_t key;
  std::memcpy(&key, &value, 4);
  return key > cut.key || (key == cut.key && token <= cut.token);
}

}  // namespace

std::vector<std::int32_t> tokensInDoubt(const Bounds& bounds, std::int32_t key, bool first) {
  const SegmentIndexShape& shape = bounds.index.shape();
  const int paddedDim = codeUnits(shape.headDim) * kUnitChannels;
  if (key == std::numeric_limits<std::int32_t>::max()) return {};  // nothing is kept, nothing was wanted
  float threshold;
  std::memcpy(&threshold, &key, 4);
  const bool principal = shape.basis == CodeBasis::principal;
  const float scale = bounds.input.scale * kLog2E;
  std::vector<QueryBound> queries;
  for (int head = 0; head < bounds.group; ++head) {
    const float* q = bounds.q + head * paddedDim;
    queries.push_back(principal ? principalBound(principalOf(bounds.index),
                                                 principalOf(bounds.index).head(bounds.input.layer, bounds.kvHead), q,
                                                 shape.headDim, scale)
                                : queryBound(q, shape.headDim, shape.codeBits, scale));
  }

  std::vector<std::int32_t> doubtful;
  std::vector<float> factors(queries.size());
  float values[kBlockTokens];
  for (int n = 0; n < bounds.plan.numBlocks; ++n) {
    const SegmentBlock& block = bounds.plan.blocks[n];
    const int begin = std::max(block.out, bounds.plan.begin), end = std::min(block.out + block.count, bounds.plan.end);
    if (begin >= end) continue;
    const auto [radius, step] = principal ? principalErrors(bounds, n) : channelErrors(bounds, block.segment);
    // Powers below 2^-126 have become 0, float32 rounds: both are made up for.
    float lost = 0.0f;
    bool bounded = true;
    for (std::size_t head = 0; head < queries.size(); ++head) {
      const float largest = bounds.maxima[head * bounds.maximaStride + static_cast<std::size_t>(n / kChunkBlocks)];
      const float exponent = largest - bounds.poolLogSums[head] + queries[head].norm * radius +
                             queries[head].rounding * step + 0x1p-7f;
      factors[head] = std::exp2(exponent);
      lost += std::exp2(exponent - 126.0f);
      bounded = bounded && exponent < 126.0f;
    }
    bounds.kernels.values(bounds.powers + begin, bounds.stride, bounds.group, factors.data(), 1, end - begin, values);
    for (int position = begin; position < end; ++position) {
      if (bounded && values[position - begin] + lost < threshold) continue;
      const std::int32_t token = bounds.plan.tokenAt(position);
      const float estimated = bounds.values[position];
      if (estimated < 0.0f || inPool(bounds.poolCut, estimated, token)) continue;
      doubtful.push_back(token);
      if (first) return doubtful;
    }
  }
  return doubtful;
}

}  // namespace kvasir::selection
