// Tiles of eight bits in shared memory: a warp's own ring of slots that hold the K half of a page, its V half, the K half of
// the next, and so on, each with its scales, copied asynchronously.
#pragma once

#include "../args/i8_pages.h"
#include "../context/vocabulary.h"

namespace kvasir::gpu {

// Rows of at most 16 kSteps values.
template <int kSteps>
struct ByteTiles {
  static constexpr int kDim = 16 * kSteps;
  static constexpr int kTokens = KVASIR_PAGE_TOKENS;
  static constexpr int kSlotWords = (kTokens * (kDim + 32) + 4 * kDim) / 4;
  static constexpr int kSlots = 4;
  static constexpr int kWarps = kSteps <= 8 ? 4 : 2;
  static constexpr int kRingWords = kWarps * kSlots * kSlotWords;

  // Words from row to row: an odd number of 32 bytes, so that the rows that lanes read together are in different banks.
  static KVASIR_DEVICE int strideOf(int headDim) { return headDim / 32 % 2 == 1 ? headDim / 4 : headDim / 4 + 8; }

  // Calls score(slot, mask) and add(slot, mask) for each page of this warp, in turn: w, w + kWarps, ... of `count`.
  // Behind a slot's 16 rows: K scales and zeros, or V scales.
  template <class Cx, class Tiles, class Masks, class Score, class Add>
  static KVASIR_DEVICE void each(Cx& cx, int warp, typename Cx::template Shared<std::uint32_t> ring, const Tiles& tiles, const Masks& masks,
                                 int count, int headDim, const Score& score, const Add& add) {
    const int groups = count > warp ? 2 * ceilDiv(count - warp, kWarps) : 0;
    auto slots = ring + warp * kSlots * kSlotWords;
    const auto issue = [&](int group) {
      if (group < groups) load(cx, slots + group % kSlots * kSlotWords, tiles, masks, warp + group / 2 * kWarps, group % 2 == 1, headDim);
      cx.commit();
    };
    for (int group = 0; group < kSlots - 1; ++group) issue(group);
    for (int group = 0; group < groups; ++group) {
      cx.waitAsync(kSlots - 2);
      cx.syncWarp();  // all lanes' copies are there, and all are done with the slot that is filled next
      issue(group + kSlots - 1);
      const std::uint32_t mask = masks[warp + group / 2 * kWarps];
      auto slot = slots + group % kSlots * kSlotWords;
      if (group % 2 == 0) score(slot, mask);
      else add(slot, mask);
    }
    cx.waitAsync(0);
  }

 private:
  // Eight lanes take 128 bytes of a row at a time; rows that the mask leaves out become zero.
  template <class Cx, class Tiles, class Masks>
  static KVASIR_DEVICE void load(Cx& cx, typename Cx::template Shared<std::uint32_t> slot, const Tiles& tiles, const Masks& masks, int page,
                                 bool values, int headDim) {
    const int stride = strideOf(headDim), vectors = headDim / 16;
    cx.each([&](int thread) {
      const int lane = thread % kWarp;
      const std::uint8_t* tile = tiles[page];
      const std::uint32_t mask = masks[page];
      const std::uint8_t* rows = tile + (values ? kTokens * headDim : 0);
      KVASIR_UNROLL
      for (int pass = 0; pass < 4; ++pass) {
        const int row = 4 * pass + lane / 8;
        const bool there = (mask >> row & 1u) != 0;
        KVASIR_UNROLL
        for (int i = 0; i < ceilDiv(kSteps, 8); ++i) {
          const int vector = 8 * i + lane % 8;
          if (vector < vectors) cx.copyAsync(slot + row * stride + 4 * vector, rows + row * headDim + 16 * vector, there ? 16 : 0);
        }
      }
      const std::uint8_t* scales = tile + 2 * kTokens * headDim + (values ? 4 * headDim : 0);
      const int scaleVectors = values ? 2 : 4 * headDim / 16;
      for (int i = lane; i < scaleVectors; i += kWarp) cx.copyAsync(slot + kTokens * stride + 4 * i, scales + 16 * i);
    });
  }
};

// What no op over such pages does, or null.
inline const char* wrongI8Pages(const KvasirI8View& kv) {
  if (kv.headDim <= 0 || kv.headDim > 256 || kv.headDim % 32 != 0) return "headDim must be a multiple of 32 up to 256";
  if ((kv.pageStride | kv.layerStride | kv.headStride) % 16 != 0) return "strides must be multiples of 16";
  return nullptr;
}

}  // namespace kvasir::gpu
