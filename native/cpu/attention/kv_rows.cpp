// Moves K and V rows between float32 and pages.
#include <cstring>

#include "../simd/half.h"
#include "kernels.h"

namespace kvasir {
namespace {

constexpr int kRowsPerTask = 64;

void storeRow(const attention::Kernels& kernels, KvType type, const float* row, int headDim, std::uint8_t* out) {
  if (type == KvType::f16) {
    kernels.storeHalf(row, headDim, reinterpret_cast<std::uint16_t*>(out));
  } else {
    std::memcpy(out, row, static_cast<std::size_t>(headDim) * sizeof(float));
  }
}

}  // namespace

void writeKv(Context& context, const KvView& kv, int layer, const float* keys, const float* values,
             const std::int32_t* slots, int rows) {
  const attention::Kernels& kernels = attention::kernelsFor(context.isa());
  const std::size_t rowBytes = static_cast<std::size_t>(kv.headDim) * (kv.type == KvType::f16 ? 2 : 4);
  const auto writeRow = [&](int row) {
    std::uint8_t* slot = kv.base + static_cast<std::size_t>(slots[row] / kPageTokens) * kv.pageStride +
                         static_cast<std::size_t>(layer) * kv.layerStride +
                         static_cast<std::size_t>(slots[row] % kPageTokens) * rowBytes;
    for (int head = 0; head < kv.numKvHeads; ++head, slot += kv.headStride) {
      const std::size_t from = (static_cast<std::size_t>(row) * kv.numKvHeads + head) * kv.headDim;
      storeRow(kernels, kv.type, keys + from, kv.headDim, slot);
      storeRow(kernels, kv.type, values + from, kv.headDim, slot + kv.valueStride);
    }
  };
  const int tasks = (rows + kRowsPerTask - 1) / kRowsPerTask;
  auto writeRows = [&](int task, int) {
    const int end = (task + 1) * kRowsPerTask < rows ? (task + 1) * kRowsPerTask : rows;
    for (int row = task * kRowsPerTask; row < end; ++row) writeRow(row);
  };
  if (tasks == 1) writeRows(0, 0);
  if (tasks > 1) context.forEach(tasks, writeRows);
}

void readKv(const KvView& kv, int layer, int kvHead, bool values, const std::int32_t* pages, int start, int end,
            float* out) {
  const std::uint8_t* base = kv.base + static_cast<std::size_t>(layer) * kv.layerStride +
                             static_cast<std::size_t>(kvHead) * kv.headStride + (values ? kv.valueStride : 0);
  const std::size_t headDim = static_cast<std::size_t>(kv.headDim);
  for (int index = start; index < end; ++index, out += headDim) {
    const std::size_t offset = static_cast<std::size_t>(index % kPageTokens) * headDim;
    const std::uint8_t* page = base + static_cast<std::size_t>(pages[index / kPageTokens]) * kv.pageStride;
    if (kv.type == KvType::f32) {
      std::memcpy(out, reinterpret_cast<const float*>(page) + offset, headDim * sizeof(float));
    } else {
      const std::uint16_t* row = reinterpret_cast<const std::uint16_t*>(page) + offset;
      for (std::size_t i = 0; i < headDim; ++i) out[i] = halfToFloat(row[i]);
    }
  }
}

}  // namespace kvasir
