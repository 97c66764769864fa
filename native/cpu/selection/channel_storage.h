// Statistics and codes of segments by key channel; layout.h says how they lie.
#pragma once

#include "index_storage.h"

namespace kvasir::selection {

class ChannelStorage final : public IndexStorage {
 public:
  explicit ChannelStorage(const SegmentIndexShape& shape);

  std::unique_ptr<IndexStorage> empty() const override { return std::make_unique<ChannelStorage>(shape_); }
  std::size_t bytes() const override;
  void reserve(int segments, int tokens, int usedSegments, int usedTokens) override;
  void copyFrom(const IndexStorage& other, int segments, int tokens) override;
  void encode(Context& context, int worker, int layer, int kvHead, const HeadKeys& keys,
              const std::vector<std::int32_t>& ends, std::size_t first) override;
  void read(int layer, int kvHead, const std::vector<std::int32_t>& ends, float* means, float* deviations,
            float* levels, float* radii) const override;

  // Bytes of one KV head as the kernels read them.
  struct View {
    const std::uint8_t* stats;
    const std::uint8_t* codes;
    std::size_t planeBytes;
  };
  View head(int layer, int kvHead) const;

 private:
  struct Head {
    Bytes stats;
    Bytes codes;
  };
  std::size_t statRow() const;
  std::size_t planeBytes(int tokens) const;
  void copyHead(const Head& to, int toTokens, const Head& from, int fromTokens, int segments, int tokens) const;

  std::vector<Head> heads_;  // [numLayers][numKvHeads]
  int segmentCapacity_ = 0;
  int tokenCapacity_ = 0;
};

inline const ChannelStorage& channelsOf(const SegmentIndex& index) {
  return static_cast<const ChannelStorage&>(index.storage());
}

}  // namespace kvasir::selection
