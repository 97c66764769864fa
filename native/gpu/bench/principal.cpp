#include "principal.h"

#include <cmath>
#include <cstring>

namespace kvasir::gpu::bench {

namespace {

int padded(int count) { return (count + KVASIR_INDEX_LANES - 1) / KVASIR_INDEX_LANES * KVASIR_INDEX_LANES; }

constexpr std::uint16_t kHalfOne = 0x3c00;

}  // namespace

PrincipalIndex::PrincipalIndex(const Gpu& gpu, const ModelShape& model, int layers, int tokens, int segmentTokens, int codeBits, int vectorBits)
    : gpu_(gpu), segmentTokens_(segmentTokens), segments_(tokens / segmentTokens),
      shape_{model.headDim, codeBits, vectorBits, model.numKvHeads, padded(tokens), padded(tokens / segmentTokens)},
      layout_(kvasirIndexLayout(&shape_)) {
  const std::size_t heads = static_cast<std::size_t>(layers * model.numKvHeads);
  memory_ = Memory::onDevice(gpu, layout_.bytes * heads);
  gpu.check(gpu.table().fill(gpu.stream(), memory_.device(), 0, memory_.bytes()), "fill");
  const std::size_t paddedChannels = static_cast<std::size_t>(layout_.paddedChannels);
  std::vector<std::uint8_t> head(layout_.zeros + paddedChannels * 4, 0);
  for (int n = 0; n < layout_.channels; ++n) {
    const int bits = n < 8 * layout_.words4 ? 4 : n < 8 * layout_.words4 + 16 * layout_.words2 ? 2 : 1;
    const float step = bits == 4 ? 0.25f : bits == 2 ? 0.8f : 1.4f, zero = static_cast<float>((1 << bits) - 1) * 0.5f;
    const std::size_t channel = static_cast<std::size_t>(n);
    std::memcpy(&head[2 * (channel * paddedChannels + channel)], &kHalfOne, 2);
    std::memcpy(&head[layout_.steps + 4 * channel], &step, 4);
    std::memcpy(&head[layout_.zeros + 4 * channel], &zero, 4);
  }
  for (std::size_t h = 0; h < heads; ++h) {
    gpu.check(gpu.table().copy(gpu.stream(), memory_.device(h * layout_.bytes), head.data(), head.size()), "copy");
  }
  gpu.synchronize();
  std::vector<std::int32_t> ends, of;
  for (int s = 0; s < segments_; ++s) {
    ends.push_back((s + 1) * segmentTokens);
    of.insert(of.end(), static_cast<std::size_t>(segmentTokens), s);
  }
  ends_ = upload(gpu, ends);
  segmentOf_ = upload(gpu, of);
}

void PrincipalIndex::encode(KvasirStream* stream, const KvasirKvView& kv, const std::int32_t* pages, int firstLayer, int numLayers) const {
  KvasirEncodeSegmentsArgs args{};
  args.kv = kv;
  args.pages = pages;
  args.firstLayer = firstLayer;
  args.numLayers = numLayers;
  args.shape = shape_;
  args.index = memory_.device();
  args.ends = ends_.device<std::int32_t>();
  args.numSegments = segments_;
  gpu_.check(gpu_.table().encodeSegments(stream, &args), "encodeSegments");
}

double PrincipalIndex::layerBytes() const {
  return 16.0 * shape_.numKvHeads * (static_cast<double>(layout_.codeVectors) * codedTokens() + static_cast<double>(layout_.meanVectors) * segments_);
}

std::string PrincipalIndex::problem(const KvasirKvView& kv, const std::vector<std::int32_t>& pages, int layer) const {
  if (segments_ == 0) return "";
  const std::size_t dim = static_cast<std::size_t>(shape_.headDim), base = static_cast<std::size_t>(layer * shape_.numKvHeads) * layout_.bytes;
  std::vector<double> mean(dim, 0.0);
  for (int token = 0; token < segmentTokens_; ++token) {
    const int page = pages[static_cast<std::size_t>(token / KVASIR_PAGE_TOKENS)];
    const std::vector<double> key = rowOf(gpu_, kv, layer, page, 0, 0, token % KVASIR_PAGE_TOKENS);
    for (std::size_t i = 0; i < dim; ++i) mean[i] += key[i] / segmentTokens_;
  }
  // Tiles of [vectors][32 segments][16 bytes], of float16, or of bytes in steps of the segment's own.
  const double step = fromHalf(download<std::uint16_t>(gpu_, memory_.device(base + layout_.meanSteps), 1)[0]);
  const bool bytes = shape_.vectorBits == 8;
  for (std::size_t i = 0; i < dim; ++i) {
    const std::size_t at = i * (bytes ? 1 : 2), place = base + layout_.means + at / 16 * 16 * KVASIR_INDEX_LANES + at % 16;
    const double stored = bytes ? step * download<std::int8_t>(gpu_, memory_.device(place), 1)[0]
                                : fromHalf(download<std::uint16_t>(gpu_, memory_.device(place), 1)[0]);
    if (!(std::fabs(stored - mean[i]) <= 2e-3 + 0.51 * step)) return "the mean of a segment is off";
  }
  return "";
}

}  // namespace kvasir::gpu::bench
