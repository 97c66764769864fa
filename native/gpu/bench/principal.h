// An index of segments as encodeSegments makes it of the keys of random pages: what choices and codes are timed over.
#pragma once

#include <string>

#include "gpu.h"
#include "pages.h"

namespace kvasir::gpu::bench {

class PrincipalIndex {
 public:
  // Basis and steps of `layers` layers, the same for all: the channels themselves, in steps that suit fillRandom's values.
  // Room for `tokens`, of which whole segments of `segmentTokens` may be encoded.
  PrincipalIndex(const Gpu& gpu, const ModelShape& model, int layers, int tokens, int segmentTokens, int codeBits, int vectorBits);

  // Encodes the segments of these layers. `pages` is a page table on the device.
  void encode(KvasirStream* stream, const KvasirKvView& kv, const std::int32_t* pages, int firstLayer, int numLayers) const;
  // What is wrong with the mean of segment 0 of KV head 0 at a layer, held against double precision; "" if nothing.
  std::string problem(const KvasirKvView& kv, const std::vector<std::int32_t>& pages, int layer) const;

  const KvasirIndexShape& shape() const { return shape_; }
  const KvasirIndexLayout& layout() const { return layout_; }
  const std::uint8_t* device() const { return memory_.device(); }
  const std::int32_t* segmentOf() const { return segmentOf_.device<std::int32_t>(); }
  int segments() const { return segments_; }
  int codedTokens() const { return segments_ * segmentTokens_; }
  // Means and codes of one layer: what an estimate reads and encoding writes.
  double layerBytes() const;

 private:
  const Gpu& gpu_;
  int segmentTokens_, segments_;
  KvasirIndexShape shape_{};
  KvasirIndexLayout layout_{};
  Memory memory_, ends_, segmentOf_;
};

}  // namespace kvasir::gpu::bench
