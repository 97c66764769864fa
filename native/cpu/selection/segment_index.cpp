#include <algorithm>
#include <cstring>
#include <new>

#include "../simd/half.h"
#include "kernels.h"
#include "kvasir/selection.h"
#include "layout.h"

namespace kvasir {

using namespace selection;

namespace {

constexpr std::size_t kAlignment = 64;

struct Release {
  void operator()(std::uint8_t* p) const { ::operator delete (p, std::align_val_t{kAlignment}); }
};
using Bytes = std::unique_ptr<std::uint8_t, Release>;

Bytes allocate(std::size_t bytes) {
  return Bytes(static_cast<std::uint8_t*>(::operator new (bytes, std::align_val_t{kAlignment})));
}

// Growing by a 128th keeps the spare room small; a row is copied 128 times on average over the life of an index.
int grown(int needed, int step) { return needed + needed / 128 + step; }

void appendBlocks(std::vector<SegmentBlock>& blocks, int segment, std::int32_t start, std::int32_t end) {
  for (std::int32_t at = start; at < end; at += kBlockTokens) {
    blocks.push_back({at, at, segment, std::min(kBlockTokens, end - at)});
  }
}

}  // namespace

struct SegmentIndex::Storage {
  struct Head {
    Bytes stats;
    Bytes codes;
  };
  std::vector<Head> heads;  // [numLayers][numKvHeads]
  int segmentCapacity = 0;
  int tokenCapacity = 0;

  static std::size_t codeBytes(const SegmentIndexShape& shape, int tokens) {
    return static_cast<std::size_t>(codeUnits(shape.headDim)) * planeBytes(shape, tokens);
  }
  static std::size_t planeBytes(const SegmentIndexShape& shape, int tokens) {
    return static_cast<std::size_t>(tokens) * static_cast<std::size_t>(rowBytes(shape.codeBits));
  }
};

SegmentIndex::SegmentIndex(const SegmentIndexShape& shape) : shape_(shape), storage_(std::make_unique<Storage>()) {
  storage_->heads.resize(static_cast<std::size_t>(shape.numLayers) * static_cast<std::size_t>(shape.numKvHeads));
}

SegmentIndex::~SegmentIndex() = default;

std::unique_ptr<SegmentIndex> SegmentIndex::clone() const {
  auto copy = std::make_unique<SegmentIndex>(shape_);
  copy->reserve(numSegments(), numTokens());
  for (std::size_t h = 0; h < storage_->heads.size() && numTokens() > 0; ++h) {
    const Storage::Head& from = storage_->heads[h];
    const Storage::Head& to = copy->storage_->heads[h];
    std::memcpy(to.stats.get(), from.stats.get(), ends_.size() * statBytes(shape_.headDim, shape_.vectorBits));
    const std::size_t used = Storage::planeBytes(shape_, numTokens());
    for (std::size_t unit = 0; unit < static_cast<std::size_t>(codeUnits(shape_.headDim)); ++unit) {
      std::memcpy(to.codes.get() + unit * Storage::planeBytes(shape_, copy->storage_->tokenCapacity),
                  from.codes.get() + unit * Storage::planeBytes(shape_, storage_->tokenCapacity), used);
    }
  }
  copy->ends_ = ends_;
  copy->blocks_ = blocks_;
  return copy;
}

std::size_t SegmentIndex::bytes() const {
  const std::size_t head = storage_->tokenCapacity == 0
                               ? 0
                               : static_cast<std::size_t>(storage_->segmentCapacity) * statBytes(shape_.headDim, shape_.vectorBits) +
                                     Storage::codeBytes(shape_, storage_->tokenCapacity);
  return head * storage_->heads.size() + ends_.capacity() * sizeof(std::int32_t) +
         blocks_.capacity() * sizeof(SegmentBlock);
}

SegmentIndex::HeadView SegmentIndex::head(int layer, int kvHead) const {
  const Storage::Head& head =
      storage_->heads[static_cast<std::size_t>(layer) * static_cast<std::size_t>(shape_.numKvHeads) +
                      static_cast<std::size_t>(kvHead)];
  return {head.stats.get(), head.codes.get(), Storage::planeBytes(shape_, storage_->tokenCapacity)};
}

// All new memory is taken before any is let go, so that a failure leaves the index whole.
void SegmentIndex::reserve(int segments, int tokens) {
  Storage& now = *storage_;
  if (segments <= now.segmentCapacity && tokens + kBlockTokens <= now.tokenCapacity) return;
  auto next = std::make_unique<Storage>();
  next->segmentCapacity = std::max(now.segmentCapacity, grown(segments, 2));
  next->tokenCapacity = std::max(now.tokenCapacity, grown(tokens, kBlockTokens));
  next->heads.resize(now.heads.size());
  const std::size_t statRow = statBytes(shape_.headDim, shape_.vectorBits);
  const std::size_t used = Storage::planeBytes(shape_, numTokens());
  for (std::size_t h = 0; h < now.heads.size(); ++h) {
    Storage::Head& to = next->heads[h];
    to.stats = allocate(static_cast<std::size_t>(next->segmentCapacity) * statRow);
    to.codes = allocate(Storage::codeBytes(shape_, next->tokenCapacity));
    if (numTokens() == 0) continue;
    std::memcpy(to.stats.get(), now.heads[h].stats.get(), ends_.size() * statRow);
    for (std::size_t unit = 0; unit < static_cast<std::size_t>(codeUnits(shape_.headDim)); ++unit) {
      std::memcpy(to.codes.get() + unit * Storage::planeBytes(shape_, next->tokenCapacity),
                  now.heads[h].codes.get() + unit * Storage::planeBytes(shape_, now.tokenCapacity), used);
    }
  }
  storage_ = std::move(next);
}

// Room for these segments: adding them cannot fail any more.
void SegmentIndex::makeRoom(const std::int32_t* ends, int count) {
  reserve(numSegments() + count, ends[count - 1]);
  ends_.reserve(ends_.size() + static_cast<std::size_t>(count));
  blocks_.reserve(blocks_.size() + static_cast<std::size_t>(count + (ends[count - 1] - numTokens()) / kBlockTokens));
}

void SegmentIndex::addEncoded(const std::int32_t* ends, int count) {
  for (int i = 0; i < count; ++i) {
    appendBlocks(blocks_, numSegments(), numTokens(), ends[i]);
    ends_.push_back(ends[i]);
  }
}

bool SegmentIndex::extend(Context& context, const KvView& kv, const std::int32_t* pages, const std::int32_t* ends,
                          int count) {
  if (count <= 0) return true;
  makeRoom(ends, count);
  encodeLayers(context, 0, shape_.numLayers, {kv, pages}, ends, count);
  if (context.cancelled()) return false;
  addEncoded(ends, count);
  return true;
}

bool SegmentIndex::extend(Context& context, const std::function<LayerKeys(int layer)>& keysOf, const std::int32_t* ends,
                          int count) {
  if (count <= 0) return true;
  makeRoom(ends, count);
  for (int layer = 0; layer < shape_.numLayers; ++layer) {
    const LayerKeys keys = keysOf(layer);
    if (context.cancelled()) return false;
    encodeLayers(context, layer, 1, keys, ends, count);
  }
  if (context.cancelled()) return false;
  addEncoded(ends, count);
  return true;
}

// Writes behind the end of the index, where nobody reads before ends_ grows.
void SegmentIndex::encodeLayers(Context& context, int firstLayer, int numLayers, const LayerKeys& keys,
                                const std::int32_t* ends, int count) {
  const Kernels& kernels = kernelsFor(context.isa());
  const std::size_t oldSegments = ends_.size(), statRow = statBytes(shape_.headDim, shape_.vectorBits);
  const std::size_t codeRow = static_cast<std::size_t>(rowBytes(shape_.codeBits));
  context.forEach(numLayers * shape_.numKvHeads, [&](int task, int) {
    const int layer = firstLayer + task / shape_.numKvHeads, kvHead = task % shape_.numKvHeads;
    const Storage::Head& head = storage_->heads[static_cast<std::size_t>(layer * shape_.numKvHeads + kvHead)];
    int start = numTokens();
    for (int i = 0; i < count && !context.cancelled(); ++i) {
      kernels.encode({headKeys(keys.kv, layer, kvHead, keys.pages), start, ends[i], shape_.codeBits, shape_.vectorBits,
                      head.stats.get() + (oldSegments + static_cast<std::size_t>(i)) * statRow,
                      head.codes.get() + static_cast<std::size_t>(start) * codeRow,
                      Storage::planeBytes(shape_, storage_->tokenCapacity)});
      start = ends[i];
    }
  });
}

void SegmentIndex::truncate(int numTokens) {
  while (!ends_.empty() && ends_.back() > numTokens) ends_.pop_back();
  while (!blocks_.empty() && blocks_.back().segment >= numSegments()) blocks_.pop_back();
}

void SegmentIndex::read(int layer, int kvHead, float* means, float* deviations, float* levels, float* radii) const {
  const HeadView view = head(layer, kvHead);
  const int dim = shape_.headDim, vectorBits = shape_.vectorBits, bits = shape_.codeBits, row = rowBytes(bits);
  for (std::size_t s = 0; s < ends_.size(); ++s) {
    const std::uint8_t* stats = view.stats + s * statBytes(dim, vectorBits);
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
  if (bits == 0) {
    std::fill_n(levels, static_cast<std::size_t>(numTokens()) * static_cast<std::size_t>(dim), 0.0f);
    return;
  }
  const CodeScale scale = codeScale(bits);
  for (std::size_t token = 0; token < static_cast<std::size_t>(numTokens()); ++token) {
    for (int i = 0; i < dim; ++i) {
      const int inUnit = i % kUnitChannels;
      const std::uint8_t* codes = view.codes + static_cast<std::size_t>(i / kUnitChannels) * view.planeBytes +
                                  token * static_cast<std::size_t>(row);
      const int code = codes[inUnit % row] >> (inUnit / row * bits) & ((1 << bits) - 1);
      *levels++ = scale.unit * static_cast<float>(codeStep(bits, code) - scale.zero);
    }
  }
}

}  // namespace kvasir
