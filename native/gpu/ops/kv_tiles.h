// Tiles of K and V rows in shared memory: a ring of slots that the block fills by asynchronous copies.
#pragma once

#include "../context/vocabulary.h"

namespace kvasir::gpu {

// Rows of `vectors` times 16 bytes lie so that eight of them at one column are in eight different groups of banks.
struct KeyTileLayout {
  int vectors;  // of a row
  int stride;
  int mask;

  KVASIR_DEVICE int at(int row, int vector) const { return row * stride + (vector ^ (row & mask)); }
};

KVASIR_DEVICE KeyTileLayout keyTileLayoutOf(int vectors) {
  return vectors % 8 == 0 ? KeyTileLayout{vectors, vectors, 7} : KeyTileLayout{vectors, vectors | 1, 0};
}

// The K rows of one KV head of one sequence.
struct HeadPages {
  const std::uint8_t* base;
  std::size_t pageStride;
  std::size_t valueStride;
  const std::int32_t* pages;
  int rowBytes;

  KVASIR_DEVICE const std::uint8_t* page(int number) const {
    return base + static_cast<std::size_t>(pages[number]) * pageStride;
  }
};

KVASIR_DEVICE HeadPages headPagesOf(const KvasirKvView& kv, int layer, int kvHead, const std::int32_t* pages) {
  return {kv.base + static_cast<std::size_t>(layer) * kv.layerStride + static_cast<std::size_t>(kvHead) * kv.headStride,
          kv.pageStride, kv.valueStride, pages, kv.headDim * (kv.type == KVASIR_F16 ? 2 : 4)};
}

// Starts the copies of rows [start, start + kKeys), `offset` bytes behind the K rows; rows outside [low, stop) become zero.
// start and kKeys are multiples of 16, stop > low.
template <class T, int kKeys, int kThreads, int kMostVectors, class Cx>
KVASIR_DEVICE void loadTile(Cx& cx, typename Cx::template Shared<T> slot, const KeyTileLayout& layout, const HeadPages& head,
                            std::size_t offset, int start, int low, int stop) {
  constexpr int kRows = kKeys / (kThreads / kWarp);  // of a warp, all in one page
  constexpr int kPerVec = static_cast<int>(16 / sizeof(T));
  static_assert(kRows % 4 == 0 && KVASIR_PAGE_TOKENS % kRows == 0, "a warp's rows lie in one page");
  cx.each([&](int thread) {
    const int lane = thread % kWarp, first = thread / kWarp * kRows;
    const int page = (start + first) / KVASIR_PAGE_TOKENS;
    const int known = least(most(page, low / KVASIR_PAGE_TOKENS), (stop - 1) / KVASIR_PAGE_TOKENS);
    const std::uint8_t* rows = head.page(known) + offset;
    KVASIR_UNROLL
    for (int pass = 0; pass < kRows / 4; ++pass) {
      const int row = first + 4 * pass + lane / 8, index = start + row;
      const int bytes = index >= low && index < stop ? 16 : 0;
      const std::uint8_t* from = rows + (index % KVASIR_PAGE_TOKENS) * head.rowBytes;
      KVASIR_UNROLL
      for (int i = 0; i < ceilDiv(kMostVectors, 8); ++i) {
        const int vector = 8 * i + lane % 8;
        if (vector < layout.vectors) cx.copyAsync(slot + layout.at(row, vector) * kPerVec, from + 16 * vector, bytes);
      }
    }
  });
}

}  // namespace kvasir::gpu
