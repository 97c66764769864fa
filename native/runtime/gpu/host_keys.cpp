#include "host_keys.h"

#include <algorithm>
#include <numeric>

namespace kvasir::gpu {

HostKeys::HostKeys(DeviceArena& arena, int layer, const std::int32_t* pages, int first, int end) {
  const ArenaShape& shape = arena.shape;
  const int firstPage = first / kPageTokens, endPage = (end + kPageTokens - 1) / kPageTokens;
  const std::size_t numPages = static_cast<std::size_t>(std::max(0, endPage - firstPage));
  view_.pageStride = shape.partBytes();
  view_.headStride = numPages * shape.partBytes();
  view_.type = shape.type;
  view_.numKvHeads = shape.numKvHeads;
  view_.headDim = shape.headDim;
  rows_.resize(static_cast<std::size_t>(shape.numKvHeads) * view_.headStride);
  view_.base = rows_.data();
  for (int page = 0; page < endPage; ++page) pages_.push_back(std::max(0, page - firstPage));
  std::vector<std::int32_t> indices(static_cast<std::size_t>(std::max(0, end - first)));
  std::iota(indices.begin(), indices.end(), first);
  for (int kvHead = 0; kvHead < shape.numKvHeads; ++kvHead) {
    std::uint8_t* out = rows_.data() + static_cast<std::size_t>(kvHead) * view_.headStride +
                        static_cast<std::size_t>(first % kPageTokens) * shape.rowBytes();
    arena.gatherKeys(layer, kvHead, pages, indices.data(), static_cast<int>(indices.size()), out);
  }
}

}  // namespace kvasir::gpu
