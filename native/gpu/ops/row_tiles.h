// Rows of KV in shared memory, 16 at a time: a warp's own ring of slots that hold the K rows of a tile, its V rows where
// they are wanted, the K rows of the next, and so on, copied asynchronously.
#pragma once

#include "../args/views.h"
#include "../context/vocabulary.h"

namespace kvasir::gpu {

constexpr int kTileTokens = 16;

// Rows of at most 16 kSteps elements of type T.
template <class T, int kSteps>
struct RowTiles {
  static constexpr int kDim = 16 * kSteps;
  static constexpr int kPerVec = static_cast<int>(16 / sizeof(T));
  static constexpr int kVectors = kDim / kPerVec;
  static constexpr int kSlotElements = kTileTokens * kDim;
  static constexpr int kSlotBytes = kSlotElements * static_cast<int>(sizeof(T));
  static constexpr int kSlots = kSlotBytes <= 2048 ? 4 : 3;
  // 48 KiB of slots a block: with four blocks a multiprocessor has 128 KiB under way, and needs some 36 KiB at 4.8 TB/s.
  static constexpr int kWarps = kSlotBytes <= 4096 ? 4 : kSlotBytes == 8192 ? 2 : 1;
  static constexpr int kRingElements = kWarps * kSlots * kSlotElements;

  // Vectors of 16 bytes lie so that eight rows at one column are in eight different banks.
  struct Layout {
    int vectors;  // of a row
    int stride;
    int mask;
    KVASIR_DEVICE int at(int row, int vector) const { return (row * stride + (vector ^ (row & mask))) * kPerVec; }
  };

  static KVASIR_DEVICE Layout layoutOf(int headDim) {
    const int vectors = headDim / kPerVec;
    return vectors % 8 == 0 ? Layout{vectors, vectors, 7} : Layout{vectors, vectors + 1, 0};
  }

  // Calls score(slot, first token, tokens) and add(slot, tokens) for each tile of this warp, in turn: tile w, w + kWarps, ...
  // of `count` rows. Without values, score alone. Collective over the warp.
  template <bool kValues, class Cx, class Rows, class Score, class Add>
  static KVASIR_DEVICE void each(Cx& cx, int warp, typename Cx::template Shared<T> ring, const Rows& rows, int count,
                                 std::size_t valueStride, const Layout& layout, const Score& score, const Add& add) {
    constexpr int kKinds = kValues ? 2 : 1;
    const int tiles = ceilDiv(count, kTileTokens);
    const int groups = tiles > warp ? kKinds * ceilDiv(tiles - warp, kWarps) : 0;
    auto slots = ring + warp * kSlots * kSlotElements;
    int filled = 0;  // slot that the next group goes to
    const auto issue = [&](int group) {
      if (group < groups) {
        const int first = (warp + group / kKinds * kWarps) * kTileTokens;
        load(cx, slots + filled * kSlotElements, rows, first, count, group % kKinds == 0 ? 0 : valueStride, layout);
      }
      cx.commit();
      filled = filled + 1 == kSlots ? 0 : filled + 1;
    };
    for (int group = 0; group < kSlots - 1; ++group) issue(group);
    int read = 0;
    for (int group = 0; group < groups; ++group) {
      cx.waitAsync(kSlots - 2);
      cx.syncWarp();  // all lanes' copies are there, and all are done with the slot that is filled next
      issue(group + kSlots - 1);
      const int first = (warp + group / kKinds * kWarps) * kTileTokens, tokens = least(kTileTokens, count - first);
      if (group % kKinds == 0) score(slots + read * kSlotElements, first, tokens);
      else add(slots + read * kSlotElements, tokens);
      read = read + 1 == kSlots ? 0 : read + 1;
    }
    cx.waitAsync(0);
  }

 private:
  // Eight lanes take 128 bytes of a row at a time; rows beyond `count` become zero.
  template <class Cx, class Rows>
  static KVASIR_DEVICE void load(Cx& cx, typename Cx::template Shared<T> slot, const Rows& rows, int first, int count,
                                 std::size_t offset, const Layout& layout) {
    cx.each([&](int thread) {
      const int lane = thread % kWarp;
      KVASIR_UNROLL
      for (int pass = 0; pass < 4; ++pass) {
        const int row = 4 * pass + lane / 8;
        const bool there = first + row < count;
        const std::uint8_t* address = rows[there ? first + row : first];
        address += offset;
        KVASIR_UNROLL
        for (int i = 0; i < kVectors / 8; ++i) {
          const int vector = 8 * i + lane % 8;
          if (vector < layout.vectors) cx.copyAsync(slot + layout.at(row, vector), address + 16 * vector, there ? 16 : 0);
        }
      }
    });
  }
};

// What attention over such rows does not do, or null.
inline const char* wrongAttention(const KvasirKvView& kv, int numHeads) {
  if (kv.type != KVASIR_F16 && kv.type != KVASIR_F32) return "type must be f16 or f32";
  if (kv.headDim <= 0 || kv.headDim > 256 || kv.headDim % 16 != 0) return "headDim must be a multiple of 16 up to 256";
  if ((kv.pageStride | kv.layerStride | kv.headStride | kv.valueStride) % 16 != 0) return "strides must be multiples of 16";
  if (kv.numKvHeads <= 0 || numHeads <= 0 || numHeads % kv.numKvHeads != 0) return "numHeads must be a multiple of numKvHeads";
  return nullptr;
}

}  // namespace kvasir::gpu
