// The slots of one layer, and where its rows lie.
#pragma once

#include "../args/hot_rows.h"
#include "../context/launcher.h"

namespace kvasir::gpu {

struct HotLayer {
  std::uint8_t* rows;
  int numSlots;
  bool blocks;
  int rowBytes;
  std::int32_t* places;
  std::uint32_t* units;
  std::uint32_t* stamps;
  std::int32_t* taken;
  KvasirHotState* state;

  KVASIR_DEVICE HotLayer(const KvasirHotRows& hot, int layer, int headDim)
      : rows(hot.rows + wide(layer) * wide(hot.blocks != 0 ? hot.numSlots : ceilDiv(hot.numSlots, int{KVASIR_PAGE_TOKENS})) *
                            wide(4 * KVASIR_PAGE_TOKENS * headDim)),
        numSlots(hot.numSlots),
        blocks(hot.blocks != 0),
        rowBytes(2 * headDim),
        places(hot.places + wide(layer) * wide(hot.numUnits)),
        units(hot.units + wide(layer) * wide(hot.numSlots)),
        stamps(hot.stamps + wide(layer) * wide(hot.numSlots)),
        taken(hot.taken + wide(layer) * wide(hot.numSlots)),
        state(hot.state + layer) {}

  // The unit of a row, which is (page * numKvHeads + kvHead) * 16 + r.
  KVASIR_DEVICE std::uint32_t unitOf(std::uint32_t row) const { return blocks ? row / KVASIR_PAGE_TOKENS : row; }

  // K of row r of the page whose unit the slot holds.
  KVASIR_DEVICE std::uint8_t* rowAt(int slot, int r) const {
    const int group = blocks ? slot : slot / KVASIR_PAGE_TOKENS, at = blocks ? r : slot % KVASIR_PAGE_TOKENS;
    return rows + wide(group) * wide(2 * KVASIR_PAGE_TOKENS * rowBytes) + at * rowBytes;
  }
};

// K of a row where all rows lie.
KVASIR_DEVICE const std::uint8_t* storedRow(const KvasirKvView& kv, int layer, std::uint32_t row) {
  const std::uint32_t tile = row / KVASIR_PAGE_TOKENS, heads = static_cast<std::uint32_t>(kv.numKvHeads);
  return kv.base + (tile / heads) * kv.pageStride + wide(layer) * kv.layerStride + (tile % heads) * kv.headStride +
         (row % KVASIR_PAGE_TOKENS) * wide(2 * kv.headDim);
}

inline const char* wrongTier(const KvasirKvView& kv, const KvasirHotRows& hot) {
  if (kv.type != KVASIR_F16 || kv.headDim < 8 || kv.headDim % 8 != 0 || kv.headDim > 1024) return "rows must be f16, 16 to 2048 bytes, a multiple of 16";
  if (kv.numKvHeads < 1) return "numKvHeads must be positive";
  if (kv.valueStride != static_cast<std::size_t>(2 * KVASIR_PAGE_TOKENS * kv.headDim)) return "V rows must lie 16 rows behind K rows";
  if (hot.numSlots < 1 || hot.numUnits < 1) return "there must be slots and units";
  const std::uint64_t vectors = kvasirHotLayerBytes(1, 1, kv.headDim) / 16;
  if (static_cast<std::uint64_t>(hot.numSlots) * vectors > 0xffffffffu) return "a layer has too many slots";
  return nullptr;
}

}  // namespace kvasir::gpu
