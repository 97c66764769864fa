// Means of segments, and codes of tokens in principal directions; principal_layout.h says how they lie.
#pragma once

#include "index_storage.h"
#include "principal_layout.h"

namespace kvasir::selection {

class PrincipalStorage final : public IndexStorage {
 public:
  explicit PrincipalStorage(const SegmentIndexShape& shape);

  std::unique_ptr<IndexStorage> empty() const override { return std::make_unique<PrincipalStorage>(shape_); }
  std::size_t bytes() const override;
  void reserve(int segments, int tokens, int usedSegments, int usedTokens) override;
  void copyFrom(const IndexStorage& other, int segments, int tokens) override;
  void encode(Context& context, int worker, int layer, int kvHead, const HeadKeys& keys,
              const std::vector<std::int32_t>& ends, std::size_t first) override;
  void read(int layer, int kvHead, const std::vector<std::int32_t>& ends, float* means, float* deviations,
            float* levels, float* radii) const override;

  PrincipalView head(int layer, int kvHead) const;
  const PrincipalLayout& layout() const { return layout_; }
  std::size_t basisBytes() const;
  // What encode() writes of a head, for codes that were made elsewhere; basis [basisBytes()].
  struct Parts {
    std::uint8_t* codes;
    std::uint8_t* means;
    std::uint16_t* radii;
    std::uint16_t* meanSteps;
    std::uint8_t* basis;
  };
  Parts parts(int layer, int kvHead);
  // Makes the basis of one head alone, of keys that hold its first segments, which are among those with room.
  void makeBasis(Context& context, int worker, int layer, int kvHead, const HeadKeys& keys,
                 const std::vector<std::int32_t>& ends);
  // Largest distance of a key of the segment from its estimate.
  float radius(int layer, int kvHead, int segment) const;

 private:
  struct Head {
    Bytes codes;  // [blocks][words][16 tokens] words
    Bytes means;  // [groups] of meanGroupBytes
    Bytes tails;  // [segments] radius float16, then [segments] step of the mean float16
    Bytes basis;  // [headDim][paddedChannels] float16, then [2][paddedChannels] steps and zeros float32
  };
  PrincipalEncodeTask taskOf(Context& context, int worker, int layer, int kvHead, const HeadKeys& keys,
                             const std::vector<std::int32_t>& ends) const;
  std::size_t directionBytes() const;
  void copyHead(const Head& to, int toSegments, const Head& from, int fromSegments, int segments, int tokens) const;

  const PrincipalLayout layout_;
  std::vector<Head> heads_;
  int segmentCapacity_ = 0;  // in whole groups
  int blockCapacity_ = 0;
};

inline const PrincipalStorage& principalOf(const SegmentIndex& index) {
  return static_cast<const PrincipalStorage&>(index.storage().inHostMemory());
}

}  // namespace kvasir::selection
