// Where rows of a cache lie.
#pragma once

#include "../args/views.h"
#include "../context/vocabulary.h"

namespace kvasir::gpu {

inline int storedRowBytes(const KvasirKvView& kv) { return kv.headDim * (kv.type == KVASIR_F16 ? 2 : 4); }

// Rows that ops take: of a known type and of whole 16 bytes.
inline bool isStored(const KvasirKvView& kv) {
  const int bytes = storedRowBytes(kv);
  return (kv.type == KVASIR_F16 || kv.type == KVASIR_F32) && kv.numKvHeads >= 0 && bytes >= 16 && bytes % 16 == 0 && bytes <= 2048;
}

// Address of a row through a view.
KVASIR_DEVICE std::uint8_t* rowOf(const KvasirSlotRows& rows, int slot, int head, bool values, int rowBytes) {
  const KvasirKvView& kv = rows.kv;
  return kv.base + static_cast<std::size_t>(slot / KVASIR_PAGE_TOKENS) * kv.pageStride +
         static_cast<std::size_t>(rows.layer) * kv.layerStride + static_cast<std::size_t>(head) * kv.headStride +
         (values ? kv.valueStride : 0) + static_cast<std::size_t>(slot % KVASIR_PAGE_TOKENS) * static_cast<std::size_t>(rowBytes);
}

}  // namespace kvasir::gpu
