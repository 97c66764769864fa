#include <algorithm>
#include <limits>

#include "channel_storage.h"
#include "layout.h"
#include "principal_storage.h"

namespace kvasir {

using namespace selection;

namespace {

std::unique_ptr<IndexStorage> storageOf(const SegmentIndexShape& shape) {
  if (shape.basis == CodeBasis::principal) return std::make_unique<PrincipalStorage>(shape);
  return std::make_unique<ChannelStorage>(shape);
}

void addSegmentBlocks(std::vector<SegmentBlock>& blocks, int segment, std::int32_t start, std::int32_t end) {
  for (std::int32_t at = start; at < end; at += kBlockTokens) {
    blocks.push_back({at, at, segment, std::min(kBlockTokens, end - at)});
  }
}

// The same in blocks that begin at multiples of 16, with the segment of each token.
void addTokenBlocks(std::vector<SegmentBlock>& blocks, std::vector<std::uint8_t>& places, int segment,
                    std::int32_t start, std::int32_t end) {
  for (std::int32_t token = start; token < end; ++token) {
    if (token % kBlockTokens == 0) blocks.push_back({token, token, segment, 0});
    places.resize(blocks.size() * kBlockTokens);
    SegmentBlock& block = blocks.back();
    places[static_cast<std::size_t>(token)] = static_cast<std::uint8_t>(segment - block.segment);
    block.count = token - block.token + 1;
  }
}

}  // namespace

SegmentIndex::SegmentIndex(const SegmentIndexShape& shape) : shape_(shape), storage_(storageOf(shape)) {}

SegmentIndex::~SegmentIndex() = default;

std::unique_ptr<SegmentIndex> SegmentIndex::clone() const {
  auto copy = std::make_unique<SegmentIndex>(shape_);
  copy->storage_ = storage_->empty();
  if (codedSegments_ > 0) {
    copy->storage_->reserve(numSegments(), numTokens(), 0, 0);
    copy->storage_->copyFrom(*storage_, numSegments(), numTokens());
  }
  copy->ends_ = ends_;
  copy->codedSegments_ = codedSegments_;
  copy->blocks_ = blocks_;
  copy->places_ = places_;
  return copy;
}

std::size_t SegmentIndex::bytes() const {
  return storage_->bytes() + ends_.capacity() * sizeof(std::int32_t) + blocks_.capacity() * sizeof(SegmentBlock) +
         places_.capacity();
}

// Room for these segments: adding them cannot fail any more.
void SegmentIndex::makeRoom(const std::int32_t* ends, int count) {
  const int last = ends[count - 1];
  if (reachesBasis(last)) storage_->reserve(numSegments() + count, last, codedSegments_, codedTokens());
  ends_.reserve(ends_.size() + static_cast<std::size_t>(count));
  const bool tokenBlocks = shape_.basis == CodeBasis::principal;
  const int most = numSegments() + count + (last - codedTokens()) / kBlockTokens;
  const std::size_t blocks = tokenBlocks ? static_cast<std::size_t>(last / kBlockTokens + 1)
                                         : blocks_.size() + static_cast<std::size_t>(most - codedSegments_);
  if (blocks <= blocks_.capacity()) return;
  blocks_.reserve(blocks);
  if (tokenBlocks) places_.reserve(blocks * kBlockTokens);
}

bool SegmentIndex::reachesBasis(int lastEnd) const {
  return codedSegments_ > 0 || shape_.basis == CodeBasis::channels || lastEnd >= kBasisTokens;
}

void SegmentIndex::commit(const std::int32_t* ends, int count) {
  ends_.insert(ends_.end(), ends, ends + count);
  if (!reachesBasis(numTokens())) return;
  for (; codedSegments_ < numSegments(); ++codedSegments_) {
    const std::size_t segment = static_cast<std::size_t>(codedSegments_);
    const std::int32_t start = segment == 0 ? 0 : ends_[segment - 1];
    if (shape_.basis == CodeBasis::channels) addSegmentBlocks(blocks_, codedSegments_, start, ends_[segment]);
    else addTokenBlocks(blocks_, places_, codedSegments_, start, ends_[segment]);
  }
}

bool SegmentIndex::extend(Context& context, const KvView& kv, const std::int32_t* pages, const std::int32_t* ends,
                          int count) {
  if (count <= 0) return true;
  makeRoom(ends, count);
  if (reachesBasis(ends[count - 1])) {
    std::vector<std::int32_t> all = ends_;
    all.insert(all.end(), ends, ends + count);
    encodeLayers(context, 0, shape_.numLayers, {kv, pages}, all);
  }
  if (context.cancelled()) return false;
  commit(ends, count);
  return true;
}

bool SegmentIndex::extend(Context& context, const std::function<LayerKeys(int layer)>& keysOf, const std::int32_t* ends,
                          int count) {
  if (count <= 0) return true;
  makeRoom(ends, count);
  std::vector<std::int32_t> all = ends_;
  all.insert(all.end(), ends, ends + count);
  for (int layer = 0; layer < shape_.numLayers && reachesBasis(all.back()); ++layer) {
    const LayerKeys keys = keysOf(layer);
    if (context.cancelled()) return false;
    encodeLayers(context, layer, 1, keys, all);
  }
  if (context.cancelled()) return false;
  commit(ends, count);
  return true;
}

bool SegmentIndex::extend(Context& context,
                          const std::function<void(const std::vector<std::int32_t>& ends, int first)>& code,
                          const std::int32_t* ends, int count) {
  if (count <= 0) return true;
  makeRoom(ends, count);
  if (reachesBasis(ends[count - 1])) {
    std::vector<std::int32_t> all = ends_;
    all.insert(all.end(), ends, ends + count);
    code(all, codedSegments_);
  }
  if (context.cancelled()) return false;
  commit(ends, count);
  return true;
}

void SegmentIndex::store(std::unique_ptr<IndexStorage> storage) { storage_ = std::move(storage); }

void SegmentIndex::fetch() const {
  if (codedSegments_ > 0) storage_->fetch(ends_);
}

// Writes behind the end of the index, where nobody reads before the segments are committed.
void SegmentIndex::encodeLayers(Context& context, int firstLayer, int numLayers, const LayerKeys& keys,
                                const std::vector<std::int32_t>& ends) {
  context.forEach(numLayers * shape_.numKvHeads, [&](int task, int worker) {
    const int layer = firstLayer + task / shape_.numKvHeads, kvHead = task % shape_.numKvHeads;
    storage_->encode(context, worker, layer, kvHead, headKeys(keys.kv, layer, kvHead, keys.pages), ends,
                     static_cast<std::size_t>(codedSegments_));
  });
}

void SegmentIndex::truncate(int numTokens) {
  while (!ends_.empty() && ends_.back() > numTokens) ends_.pop_back();
  if (codedSegments_ == 0) return;
  codedSegments_ = shape_.basis == CodeBasis::channels || this->numTokens() >= kBasisTokens ? numSegments() : 0;
  storage_->forget(codedSegments_);
  const int coded = codedTokens();
  while (!blocks_.empty() && blocks_.back().token >= coded) blocks_.pop_back();
  if (!blocks_.empty()) blocks_.back().count = std::min(blocks_.back().count, coded - blocks_.back().token);
  if (shape_.basis == CodeBasis::principal) places_.resize(blocks_.size() * kBlockTokens);
}

void SegmentIndex::read(int layer, int kvHead, float* means, float* deviations, float* levels, float* radii) const {
  if (codedSegments_ > 0 || ends_.empty()) {
    storage_->read(layer, kvHead, ends_, means, deviations, levels, radii);
    return;
  }
  const std::size_t dim = static_cast<std::size_t>(shape_.headDim);
  std::fill_n(means, ends_.size() * dim, 0.0f);
  std::fill_n(deviations, ends_.size() * dim, 1.0f);
  std::fill_n(levels, static_cast<std::size_t>(numTokens()) * dim, 0.0f);
  std::fill_n(radii, ends_.size(), std::numeric_limits<float>::infinity());
}

}  // namespace kvasir
