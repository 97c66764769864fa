#include "weights.h"

#include "../weights/layout.h"
#include "roofs.h"

namespace kvasir::gpu::bench {

Weights::Weights(const Gpu& gpu, int type, int rows, int cols)
    : memory(Memory::onDevice(gpu, static_cast<std::size_t>(groupsOf(rows)) * tileLayoutOf(type).groupWords(tilesOf(cols)) * 4)) {
  // Whatever the format, codes may be any bits, and what are scales are then finite.
  fillRandom(gpu, memory);
  weight = {memory.device(), type, rows, cols};
}

Prepared::Prepared(const Gpu& gpu, int count, int cols)
    : halves(Memory::onDevice(gpu, static_cast<std::size_t>(count) * static_cast<std::size_t>(kvasirHalfCols(cols)) * 2)),
      scales(Memory::onDevice(gpu, static_cast<std::size_t>(count) * sizeof(float))) {
  rows = {halves.device<std::uint16_t>(), scales.device<float>()};
}

const char* weightName(int type) {
  switch (type) {
    case KVASIR_WEIGHT_F16: return "f16";
    case KVASIR_WEIGHT_Q8_0: return "q8_0";
    case KVASIR_WEIGHT_Q4_0: return "q4_0";
    case KVASIR_WEIGHT_Q4_K: return "q4_k";
    default: return "?";
  }
}

}  // namespace kvasir::gpu::bench
