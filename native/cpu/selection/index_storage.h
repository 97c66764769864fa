// What a segment index holds of its KV heads in memory: one kind a basis.
#pragma once

#include <memory>
#include <new>
#include <vector>

#include "kernels.h"
#include "kvasir/selection.h"

namespace kvasir {

class IndexStorage {
 public:
  explicit IndexStorage(const SegmentIndexShape& shape) : shape_(shape) {}
  virtual ~IndexStorage() = default;
  IndexStorage(const IndexStorage&) = delete;
  IndexStorage& operator=(const IndexStorage&) = delete;

  // An empty one of the same kind.
  virtual std::unique_ptr<IndexStorage> empty() const = 0;
  virtual std::size_t bytes() const = 0;
  // Makes room, keeping the first usedSegments and usedTokens. All new memory is taken before any is let go: where it
  // throws std::bad_alloc, nothing has changed.
  virtual void reserve(int segments, int tokens, int usedSegments, int usedTokens) = 0;
  // Takes over the first segments and tokens of a storage of the same kind; there is room.
  virtual void copyFrom(const IndexStorage& other, int segments, int tokens) = 0;
  // Codes segments [first, ends.size()) of all segments' ends; with first = 0 makes the basis, where the kind has one.
  virtual void encode(Context& context, int worker, int layer, int kvHead, const selection::HeadKeys& keys,
                      const std::vector<std::int32_t>& ends, std::size_t first) = 0;
  // See SegmentIndex::read.
  virtual void read(int layer, int kvHead, const std::vector<std::int32_t>& ends, float* means, float* deviations,
                    float* levels, float* radii) const = 0;

  // For a storage elsewhere: the one in host memory that has the codes of the segments since fetch(), which is told of
  // all ends; forget() tells that segments from there on are gone.
  virtual const IndexStorage& inHostMemory() const { return *this; }
  virtual void fetch(const std::vector<std::int32_t>& /*ends*/) const {}
  virtual void forget(int /*segments*/) {}

 protected:
  std::size_t headAt(int layer, int kvHead) const {
    return static_cast<std::size_t>(layer) * static_cast<std::size_t>(shape_.numKvHeads) +
           static_cast<std::size_t>(kvHead);
  }
  std::size_t numHeads() const { return headAt(shape_.numLayers, 0); }

  const SegmentIndexShape shape_;
};

namespace selection {

constexpr std::size_t kStorageAlignment = 64;

struct ReleaseBytes {
  void operator()(std::uint8_t* p) const { ::operator delete (p, std::align_val_t{kStorageAlignment}); }
};
using Bytes = std::unique_ptr<std::uint8_t, ReleaseBytes>;

inline Bytes allocateBytes(std::size_t bytes) {
  return Bytes(static_cast<std::uint8_t*>(::operator new (bytes, std::align_val_t{kStorageAlignment})));
}

// Growing by a 128th keeps the spare room small; a row is copied 128 times on average over the life of an index.
inline int grownRoom(int needed, int step) { return needed + needed / 128 + step; }

}  // namespace selection
}  // namespace kvasir
