#include "channel_storage.h"

#include <algorithm>
#include <cstring>

#include "../simd/half.h"
#include "layout.h"

namespace kvasir::selection {

ChannelStorage::ChannelStorage(const SegmentIndexShape& shape) : IndexStorage(shape), heads_(numHeads()) {}

std::size_t ChannelStorage::statRow() const { return statBytes(shape_.headDim, shape_.vectorBits); }

std::size_t ChannelStorage::planeBytes(int tokens) const {
  return static_cast<std::size_t>(tokens) * static_cast<std::size_t>(rowBytes(shape_.codeBits));
}

std::size_t ChannelStorage::bytes() const {
  if (tokenCapacity_ == 0) return 0;
  const std::size_t units = static_cast<std::size_t>(codeUnits(shape_.headDim));
  return heads_.size() * (static_cast<std::size_t>(segmentCapacity_) * statRow() + units * planeBytes(tokenCapacity_));
}

void ChannelStorage::copyHead(const Head& to, int toTokens, const Head& from, int fromTokens, int segments,
                              int tokens) const {
  std::memcpy(to.stats.get(), from.stats.get(), static_cast<std::size_t>(segments) * statRow());
  for (std::size_t unit = 0; unit < static_cast<std::size_t>(codeUnits(shape_.headDim)); ++unit) {
    std::memcpy(to.codes.get() + unit * planeBytes(toTokens), from.codes.get() + unit * planeBytes(fromTokens),
                planeBytes(tokens));
  }
}

void ChannelStorage::reserve(int segments, int tokens, int usedSegments, int usedTokens) {
  if (segments <= segmentCapacity_ && tokens + kBlockTokens <= tokenCapacity_) return;
  const int moreSegments = std::max(segmentCapacity_, grownRoom(segments, 2));
  const int moreTokens = std::max(tokenCapacity_, grownRoom(tokens, kBlockTokens));
  std::vector<Head> next(heads_.size());
  for (std::size_t h = 0; h < heads_.size(); ++h) {
    next[h].stats = allocateBytes(static_cast<std::size_t>(moreSegments) * statRow());
    next[h].codes = allocateBytes(static_cast<std::size_t>(codeUnits(shape_.headDim)) * planeBytes(moreTokens));
    if (usedTokens > 0) copyHead(next[h], moreTokens, heads_[h], tokenCapacity_, usedSegments, usedTokens);
  }
  heads_.swap(next);
  segmentCapacity_ = moreSegments;
  tokenCapacity_ = moreTokens;
}

void ChannelStorage::copyFrom(const IndexStorage& other, int segments, int tokens) {
  const ChannelStorage& from = static_cast<const ChannelStorage&>(other);
  for (std::size_t h = 0; h < heads_.size(); ++h) {
    copyHead(heads_[h], tokenCapacity_, from.heads_[h], from.tokenCapacity_, segments, tokens);
  }
}

ChannelStorage::View ChannelStorage::head(int layer, int kvHead) const {
  const Head& head = heads_[headAt(layer, kvHead)];
  return {head.stats.get(), head.codes.get(), planeBytes(tokenCapacity_)};
}

void ChannelStorage::encode(Context& context, int, int layer, int kvHead, const HeadKeys& keys,
                            const std::vector<std::int32_t>& ends, std::size_t first) {
  const Kernels& kernels = kernelsFor(context.isa());
  const Head& head = heads_[headAt(layer, kvHead)];
  for (std::size_t i = first; i < ends.size() && !context.cancelled(); ++i) {
    const int start = i == 0 ? 0 : ends[i - 1];
    kernels.encode({keys, start, ends[i], shape_.codeBits, shape_.vectorBits, head.stats.get() + i * statRow(),
                    head.codes.get() + planeBytes(start), planeBytes(tokenCapacity_)});
  }
}

void ChannelStorage::read(int layer, int kvHead, const std::vector<std::int32_t>& ends, float* means,
                          float* deviations, float* levels, float* radii) const {
  const View view = head(layer, kvHead);
  const int dim = shape_.headDim, vectorBits = shape_.vectorBits, bits = shape_.codeBits, row = rowBytes(bits);
  for (std::size_t s = 0; s < ends.size(); ++s) {
    const std::uint8_t* stats = view.stats + s * statRow();
    const std::uint8_t* steps = stats + meanBytes(dim, vectorBits);
    StatsTail tail;
    std::memcpy(&tail, steps + deviationBytes(dim, vectorBits), sizeof tail);
    for (int i = 0; i < dim; ++i) {
      std::uint16_t half;
      std::memcpy(&half, stats + (vectorBits == 16 ? 2 * i : 0), 2);
      *means++ = vectorBits == 16 ? halfToFloat(half)
                                  : static_cast<float>(static_cast<std::int8_t>(stats[i])) * halfToFloat(tail.meanStep);
      const int level = vectorBits == 16 ? steps[i] : kDeviations[steps[i / 16 * 8 + i % 8] >> (i / 8 % 2 * 4) & 15];
      *deviations++ = static_cast<float>(level) * halfToFloat(tail.deviationStep);
    }
    *radii++ = halfToFloat(tail.radius);
  }
  const std::size_t tokens = ends.empty() ? 0 : static_cast<std::size_t>(ends.back());
  if (bits == 0) {
    std::fill_n(levels, tokens * static_cast<std::size_t>(dim), 0.0f);
    return;
  }
  const CodeScale scale = codeScale(bits);
  for (std::size_t token = 0; token < tokens; ++token) {
    for (int i = 0; i < dim; ++i) {
      const int inUnit = i % kUnitChannels;
      const std::uint8_t* codes = view.codes + static_cast<std::size_t>(i / kUnitChannels) * view.planeBytes +
                                  token * static_cast<std::size_t>(row);
      const int code = codes[inUnit % row] >> (inUnit / row * bits) & ((1 << bits) - 1);
      *levels++ = scale.unit * static_cast<float>(codeStep(bits, code) - scale.zero);
    }
  }
}

}  // namespace kvasir::selection
