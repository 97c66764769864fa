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

// Growing by a 32nd keeps the spare room under 4 %; a row is copied 32 times on average over the life of an index.
int grown(int needed, int step) { return needed + needed / 32 + step; }

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
    return static_cast<std::size_t>(codeUnits(shape.headDim)) * planeBytes(shape, tokens) + kCodeSlackBytes;
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
    std::memcpy(to.stats.get(), from.stats.get(), ends_.size() * statBytes(shape_.headDim));
    const std::size_t used = Storage::planeBytes(shape_, numTokens());
    for (std::size_t unit = 0; unit < static_cast<std::size_t>(codeUnits(shape_.headDim)); ++unit) {
      std::memcpy(to.codes.get() + unit * Storage::planeBytes(shape_, copy->storage_->tokenCapacity),
                  from.codes.get() + unit * Storage::planeBytes(shape_, storage_->tokenCapacity), used);
    }
  }
  copy->ends_ = ends_;
  return copy;
}

std::size_t SegmentIndex::bytes() const {
  const std::size_t head = storage_->tokenCapacity == 0
                               ? 0
                               : static_cast<std::size_t>(storage_->segmentCapacity) * statBytes(shape_.headDim) +
                                     Storage::codeBytes(shape_, storage_->tokenCapacity);
  return head * storage_->heads.size() + ends_.capacity() * sizeof(std::int32_t);
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
  if (segments <= now.segmentCapacity && tokens <= now.tokenCapacity) return;
  auto next = std::make_unique<Storage>();
  next->segmentCapacity = std::max(now.segmentCapacity, grown(segments, 4));
  next->tokenCapacity = std::max(now.tokenCapacity, grown(tokens, 16));
  next->heads.resize(now.heads.size());
  const std::size_t statRow = statBytes(shape_.headDim);
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

bool SegmentIndex::extend(Context& context, const KvView& kv, const std::int32_t* pages, const std::int32_t* ends,
                          int count) {
  if (count <= 0) return true;
  reserve(numSegments() + count, ends[count - 1]);
  ends_.reserve(ends_.size() + static_cast<std::size_t>(count));
  encodeLayers(context, 0, shape_.numLayers, {kv, pages}, ends, count);
  if (context.cancelled()) return false;
  ends_.insert(ends_.end(), ends, ends + count);
  return true;
}

bool SegmentIndex::extend(Context& context, const std::function<LayerKeys(int layer)>& keysOf, const std::int32_t* ends,
                          int count) {
  if (count <= 0) return true;
  reserve(numSegments() + count, ends[count - 1]);
  ends_.reserve(ends_.size() + static_cast<std::size_t>(count));
  for (int layer = 0; layer < shape_.numLayers; ++layer) {
    const LayerKeys keys = keysOf(layer);
    if (context.cancelled()) return false;
    encodeLayers(context, layer, 1, keys, ends, count);
  }
  if (context.cancelled()) return false;
  ends_.insert(ends_.end(), ends, ends + count);
  return true;
}

// Writes behind the end of the index, where nobody reads before ends_ grows.
void SegmentIndex::encodeLayers(Context& context, int firstLayer, int numLayers, const LayerKeys& keys,
                                const std::int32_t* ends, int count) {
  const Kernels& kernels = kernelsFor(context.isa());
  const std::size_t oldSegments = ends_.size(), statRow = statBytes(shape_.headDim);
  const std::size_t codeRow = static_cast<std::size_t>(rowBytes(shape_.codeBits));
  context.forEach(numLayers * shape_.numKvHeads, [&](int task, int) {
    const int layer = firstLayer + task / shape_.numKvHeads, kvHead = task % shape_.numKvHeads;
    const Storage::Head& head = storage_->heads[static_cast<std::size_t>(layer * shape_.numKvHeads + kvHead)];
    int start = numTokens();
    for (int i = 0; i < count && !context.cancelled(); ++i) {
      kernels.encode({headKeys(keys.kv, layer, kvHead, keys.pages), start, ends[i], shape_.codeBits,
                      head.stats.get() + (oldSegments + static_cast<std::size_t>(i)) * statRow,
                      head.codes.get() + static_cast<std::size_t>(start) * codeRow,
                      Storage::planeBytes(shape_, storage_->tokenCapacity)});
      start = ends[i];
    }
  });
}

void SegmentIndex::truncate(int numTokens) {
  while (!ends_.empty() && ends_.back() > numTokens) ends_.pop_back();
}

void SegmentIndex::read(int layer, int kvHead, float* means, float* deviations, float* levels) const {
  const HeadView view = head(layer, kvHead);
  const int dim = shape_.headDim, padded = statDim(dim), bits = shape_.codeBits, row = rowBytes(bits);
  const CodeScale scale = codeScale(bits);
  for (std::size_t s = 0; s < ends_.size(); ++s) {
    const std::uint8_t* stats = view.stats + s * statBytes(dim);
    const std::uint8_t* steps = stats + static_cast<std::size_t>(padded) * 2;
    float step;
    std::memcpy(&step, steps + padded, 4);
    for (int i = 0; i < dim; ++i) {
      std::uint16_t half;
      std::memcpy(&half, stats + 2 * i, 2);
      *means++ = halfToFloat(half);
      *deviations++ = static_cast<float>(steps[i]) * step;
    }
  }
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
