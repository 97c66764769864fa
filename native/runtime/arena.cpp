#include "arena.h"

#include <cstring>
#include <new>

namespace kvasir {

std::size_t addressable(double count, std::size_t bytes) {
  constexpr double most = 64e12;
  if (count * static_cast<double>(bytes) > most) throw std::bad_alloc();
  return static_cast<std::size_t>(count) * bytes;
}

PlainArena::PlainArena(const ArenaShape& s) : Arena(s) {
  view_.valueStride = s.partBytes();
  view_.headStride = 2 * s.partBytes();
  view_.layerStride = s.tileBytes();
  view_.pageStride = static_cast<std::size_t>(s.numLayers) * s.tileBytes();
  view_.type = s.type;
  view_.numKvHeads = s.numKvHeads;
  view_.headDim = s.headDim;
  memory_ = Memory(addressable(s.capacityPages, view_.pageStride));
  view_.base = memory_.data();
}

void PlainArena::copyPage(int from, int to) {
  const std::size_t bytes = view_.pageStride;
  std::memmove(view_.base + static_cast<std::size_t>(to) * bytes, view_.base + static_cast<std::size_t>(from) * bytes,
               bytes);
}

void PlainArena::gatherKeys(int layer, int kvHead, const std::int32_t* pages, const std::int32_t* indices, int count,
                            std::uint8_t* out) {
  gatherKeyRows(view_, layer, kvHead, pages, indices, count, out);
}

void gatherKeyRows(const KvView& view, int layer, int kvHead, const std::int32_t* pages, const std::int32_t* indices, int count,
                   std::uint8_t* out) {
  const std::size_t bytes = static_cast<std::size_t>(view.headDim) * (view.type == KvType::f16 ? 2 : 4);
  const std::uint8_t* head = view.base + static_cast<std::size_t>(layer) * view.layerStride +
                             static_cast<std::size_t>(kvHead) * view.headStride;
  for (int i = 0; i < count; ++i, out += bytes) {
    const std::size_t page = static_cast<std::size_t>(pages[indices[i] / kPageTokens]);
    std::memcpy(out, head + page * view.pageStride + static_cast<std::size_t>(indices[i] % kPageTokens) * bytes, bytes);
  }
}

}  // namespace kvasir
