// A cache of two layers in plain memory, as ops see it: layer 1 is what tests read and write.
#pragma once

#include "../../cpu/simd/half.h"
#include "suite.h"

namespace kvasir::gpu::test {

constexpr int kStoredLayers = 2, kStoredLayer = 1;

inline std::size_t storedRowBytes(int type, int headDim) { return static_cast<std::size_t>(headDim) * (type == KVASIR_F16 ? 2 : 4); }

// gap: bytes between tiles that nothing may touch, a multiple of 16.
inline KvasirKvView storedView(int type, int heads, int headDim, int gap) {
  KvasirKvView view{};
  const std::size_t between = static_cast<std::size_t>(gap);
  view.valueStride = KVASIR_PAGE_TOKENS * storedRowBytes(type, headDim) + between;
  view.headStride = 2 * view.valueStride + between;
  view.layerStride = static_cast<std::size_t>(heads) * view.headStride + between;
  view.pageStride = kStoredLayers * view.layerStride + 3 * between;
  view.type = type;
  view.numKvHeads = heads;
  view.headDim = headDim;
  return view;
}

inline std::size_t storedOffset(const KvasirKvView& view, int slot, int head, bool values) {
  return static_cast<std::size_t>(slot / 16) * view.pageStride + kStoredLayer * view.layerStride +
         static_cast<std::size_t>(head) * view.headStride + (values ? view.valueStride : 0) +
         static_cast<std::size_t>(slot % 16) * storedRowBytes(view.type, view.headDim);
}

inline float storedValue(const std::uint8_t* row, int type, int i) {
  if (type == KVASIR_F16) {
    std::uint16_t half;
    std::memcpy(&half, row + 2 * i, 2);
    return halfToFloat(half);
  }
  float value;
  std::memcpy(&value, row + 4 * i, 4);
  return value;
}

inline void storeValue(std::uint8_t* row, int type, int i, float value) {
  const std::uint16_t half = floatToHalf(value);
  if (type == KVASIR_F16) std::memcpy(row + 2 * i, &half, 2);
  else std::memcpy(row + 4 * i, &value, 4);
}

// Finite numbers of all sizes.
inline std::vector<std::uint8_t> drawStored(Random& random, int type, std::size_t bytes) {
  std::vector<std::uint8_t> data(bytes);
  if (type == KVASIR_F16) {
    const std::vector<std::uint16_t> halves = drawAnyHalves(random, bytes / 2);
    if (bytes > 0) std::memcpy(data.data(), halves.data(), bytes / 2 * 2);
  } else {
    const std::vector<float> floats = drawNormal(random, bytes / 4, 30.0f);
    if (bytes > 0) std::memcpy(data.data(), floats.data(), bytes / 4 * 4);
  }
  return data;
}

}  // namespace kvasir::gpu::test
