#include "principal_storage.h"

#include <algorithm>
#include <cstring>

#include "../simd/half.h"

namespace kvasir::selection {
namespace {

int blocksOf(int tokens) { return (tokens + kBlockTokens - 1) / kBlockTokens; }
int groupsOf(int segments) { return (segments + kMeanLanes - 1) / kMeanLanes; }

std::uint16_t* halves(const Bytes& bytes) { return reinterpret_cast<std::uint16_t*>(bytes.get()); }

}  // namespace

PrincipalStorage::PrincipalStorage(const SegmentIndexShape& shape)
    : IndexStorage(shape), layout_(shape.headDim, shape.codeBits), heads_(numHeads()) {}

std::size_t PrincipalStorage::directionBytes() const {
  return static_cast<std::size_t>(shape_.headDim) * static_cast<std::size_t>(layout_.paddedChannels()) * 2;
}

std::size_t PrincipalStorage::basisBytes() const {
  return directionBytes() + 2 * static_cast<std::size_t>(layout_.paddedChannels()) * sizeof(float);
}

std::size_t PrincipalStorage::bytes() const {
  if (blockCapacity_ == 0) return 0;
  const std::size_t segments = static_cast<std::size_t>(segmentCapacity_);
  return heads_.size() * (static_cast<std::size_t>(blockCapacity_) * layout_.blockBytes() + basisBytes() +
                          segments / kMeanLanes * meanGroupBytes(shape_.headDim, shape_.vectorBits) + segments * 4);
}

void PrincipalStorage::copyHead(const Head& to, int toSegments, const Head& from, int fromSegments, int segments,
                                int tokens) const {
  const std::size_t count = static_cast<std::size_t>(segments);
  std::memcpy(to.codes.get(), from.codes.get(), static_cast<std::size_t>(blocksOf(tokens)) * layout_.blockBytes());
  std::memcpy(to.means.get(), from.means.get(),
              static_cast<std::size_t>(groupsOf(segments)) * meanGroupBytes(shape_.headDim, shape_.vectorBits));
  std::memcpy(halves(to.tails), halves(from.tails), count * 2);
  std::memcpy(halves(to.tails) + toSegments, halves(from.tails) + fromSegments, count * 2);
  std::memcpy(to.basis.get(), from.basis.get(), basisBytes());
}

void PrincipalStorage::reserve(int segments, int tokens, int usedSegments, int usedTokens) {
  if (segments <= segmentCapacity_ && blocksOf(tokens) <= blockCapacity_) return;
  const int moreSegments = std::max(segmentCapacity_, groupsOf(grownRoom(segments, 2)) * kMeanLanes);
  const int moreBlocks = std::max(blockCapacity_, blocksOf(grownRoom(tokens, kBlockTokens)));
  std::vector<Head> next(heads_.size());
  for (std::size_t h = 0; h < heads_.size(); ++h) {
    const std::size_t codeBytes = static_cast<std::size_t>(moreBlocks) * layout_.blockBytes();
    const std::size_t meanBytes = static_cast<std::size_t>(groupsOf(moreSegments)) * meanGroupBytes(shape_.headDim, shape_.vectorBits);
    next[h].codes = allocateBytes(codeBytes);
    next[h].means = allocateBytes(meanBytes);
    next[h].tails = allocateBytes(static_cast<std::size_t>(moreSegments) * 4);
    next[h].basis = allocateBytes(basisBytes());
    // Kernels read whole blocks and groups.
    std::memset(next[h].codes.get(), 0, codeBytes);
    std::memset(next[h].means.get(), 0, meanBytes);
    std::memset(next[h].tails.get(), 0, static_cast<std::size_t>(moreSegments) * 4);
    if (usedTokens > 0) copyHead(next[h], moreSegments, heads_[h], segmentCapacity_, usedSegments, usedTokens);
  }
  heads_.swap(next);
  segmentCapacity_ = moreSegments;
  blockCapacity_ = moreBlocks;
}

void PrincipalStorage::copyFrom(const IndexStorage& other, int segments, int tokens) {
  const PrincipalStorage& from = static_cast<const PrincipalStorage&>(other);
  for (std::size_t h = 0; h < heads_.size(); ++h) {
    copyHead(heads_[h], segmentCapacity_, from.heads_[h], from.segmentCapacity_, segments, tokens);
  }
}

PrincipalView PrincipalStorage::head(int layer, int kvHead) const {
  const Head& head = heads_[headAt(layer, kvHead)];
  const float* steps = reinterpret_cast<const float*>(head.basis.get() + directionBytes());
  return {head.codes.get(),   head.means.get(), halves(head.tails) + segmentCapacity_,
          halves(head.basis), steps,            steps + layout_.paddedChannels()};
}

float PrincipalStorage::radius(int layer, int kvHead, int segment) const {
  return halfToFloat(halves(heads_[headAt(layer, kvHead)].tails)[segment]);
}

PrincipalStorage::Parts PrincipalStorage::parts(int layer, int kvHead) {
  const Head& head = heads_[headAt(layer, kvHead)];
  return {head.codes.get(), head.means.get(), halves(head.tails), halves(head.tails) + segmentCapacity_, head.basis.get()};
}

PrincipalEncodeTask PrincipalStorage::taskOf(Context& context, int worker, int layer, int kvHead, const HeadKeys& keys,
                                             const std::vector<std::int32_t>& ends) const {
  const Head& head = heads_[headAt(layer, kvHead)];
  float* steps = reinterpret_cast<float*>(head.basis.get() + directionBytes());
  return {keys,
          shape_.codeBits,
          shape_.vectorBits,
          ends.data(),
          0,
          static_cast<int>(ends.size()),
          head.codes.get(),
          head.means.get(),
          halves(head.tails),
          halves(head.tails) + segmentCapacity_,
          halves(head.basis),
          steps,
          steps + layout_.paddedChannels(),
          context.scratch(worker, principalEncodeBytes(shape_.headDim))};
}

void PrincipalStorage::makeBasis(Context& context, int worker, int layer, int kvHead, const HeadKeys& keys,
                                 const std::vector<std::int32_t>& ends) {
  kernelsFor(context.isa()).principalBasis(taskOf(context, worker, layer, kvHead, keys, ends));
}

void PrincipalStorage::encode(Context& context, int worker, int layer, int kvHead, const HeadKeys& keys,
                              const std::vector<std::int32_t>& ends, std::size_t first) {
  const Kernels& kernels = kernelsFor(context.isa());
  PrincipalEncodeTask task = taskOf(context, worker, layer, kvHead, keys, ends);
  if (first == 0) kernels.principalBasis(task);
  // A few segments at a time, so that an abort is seen.
  for (std::size_t at = first; at < ends.size() && !context.cancelled(); at += 16) {
    task.first = static_cast<int>(at);
    task.end = static_cast<int>(std::min(ends.size(), at + 16));
    kernels.principalEncode(task);
  }
}

void PrincipalStorage::read(int layer, int kvHead, const std::vector<std::int32_t>& ends, float* means,
                            float* deviations, float* levels, float* radii) const {
  const PrincipalView view = head(layer, kvHead);
  const int dim = shape_.headDim;
  for (std::size_t s = 0; s < ends.size(); ++s) {
    const std::uint8_t* group = view.means + s / kMeanLanes * meanGroupBytes(dim, shape_.vectorBits);
    for (int i = 0; i < dim; ++i) {
      const std::size_t at = static_cast<std::size_t>(i) * kMeanLanes + s % kMeanLanes;
      *means++ = shape_.vectorBits == 16 ? halfToFloat(reinterpret_cast<const std::uint16_t*>(group)[at])
                                         : static_cast<float>(reinterpret_cast<const std::int8_t*>(group)[at]) *
                                               halfToFloat(view.meanSteps[s]);
    }
    *radii++ = radius(layer, kvHead, static_cast<int>(s));
  }
  std::fill_n(deviations, ends.size() * static_cast<std::size_t>(dim), 1.0f);
  const int tokens = ends.empty() ? 0 : ends.back();
  for (int token = 0; token < tokens; ++token, levels += dim) {
    std::fill_n(levels, dim, 0.0f);
    const std::uint8_t* codes = view.codes + static_cast<std::size_t>(token / kBlockTokens) * layout_.blockBytes() +
                                static_cast<std::size_t>(token % kBlockTokens) * kWordBytes;
    for (int c = 0; c < layout_.channels(); ++c) {
      const PrincipalLayout::Place place = layout_.placeOf(c);
      const int bits = layout_.bitsOf(c), code = codes[place.byte] >> place.shift & ((1 << bits) - 1);
      const float level = (static_cast<float>(code) - principalZero(bits)) * view.steps[c];
      for (int i = 0; i < dim; ++i) {
        levels[i] += halfToFloat(view.basis[i * layout_.paddedChannels() + c]) * level;
      }
    }
  }
}

}  // namespace kvasir::selection
