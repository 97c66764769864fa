// Packing GGUF rows into groups of 16, and reading single rows back.
#include <cstring>

#include "gguf_blocks.h"
#include "half.h"
#include "layout.h"

namespace kvasir {

using namespace lin;

namespace {

int groupsOf(int rows) { return (rows + groupRows - 1) / groupRows; }

void putCode(const Layout& layout, std::uint8_t* codes, int row, int k, int code) {
  const int step = k / 4;
  const int byte = row * 4 + k % 4;
  if (layout.bits == 8) {
    codes[step * 64 + byte] = static_cast<std::uint8_t>(code);
    return;
  }
  std::uint8_t& low = codes[(step % 4) * 64 + byte];
  low = static_cast<std::uint8_t>(low | ((code & 15) << (step < 4 ? 0 : 4)));
  std::uint8_t* high = codes + 256;
  if (layout.bits == 5) high[byte] = static_cast<std::uint8_t>(high[byte] | ((code >> 4) << step));
  if (layout.bits == 6) {
    std::uint8_t& pair = high[(step / 4) * 64 + byte];
    pair = static_cast<std::uint8_t>(pair | ((code >> 4) << (2 * (step % 4))));
  }
}

void put16(std::uint8_t* place, int row, std::uint16_t value) { std::memcpy(place + 2 * row, &value, 2); }

// One row of one file block into its group; `at` is where the block's columns start in the group.
void packFileBlock(const Layout& layout, const FileBlock& block, int cols, int row, std::uint8_t* at) {
  if (layout.super) {
    put16(at, row, block.scale);
    if (layout.hasMin) put16(at + 2 * groupRows, row, block.min);
    at += layout.superHeadBytes();
  }
  for (int b = 0; b < cols / blockCols; ++b, at += layout.blockBytes()) {
    if (layout.super) {
      for (int s = 0; s < layout.subs(); ++s) {
        at[s * groupRows + row] = block.factors[b * layout.subs() + s];
        if (layout.hasMin) at[(layout.subs() + s) * groupRows + row] = block.minFactors[b * layout.subs() + s];
      }
    } else {
      put16(at, row, block.scale);
      if (layout.hasMin) put16(at + 2 * groupRows, row, block.min);
    }
    for (int k = 0; k < blockCols; ++k) putCode(layout, at + layout.headBytes(), row, k, block.codes[b * blockCols + k]);
  }
}

void packQuantisedRow(WeightType type, int cols, const std::uint8_t* source, int row, std::uint8_t* group) {
  const Layout layout = layoutOf(type);
  const int step = fileBlockCols(type);
  FileBlock block;
  for (int k = 0; k < cols; k += step, source += fileBlockBytes(type)) {
    readFileBlock(type, source, block);
    packFileBlock(layout, block, step, row, group + layout.groupBytes(k));
  }
}

void packFloatRow(const Layout& layout, int cols, const std::uint8_t* source, int row, std::uint8_t* group) {
  const std::size_t size = static_cast<std::size_t>(layout.floatBytes);
  for (int k = 0; k < cols; ++k) std::memcpy(group + (static_cast<std::size_t>(k) * groupRows + static_cast<std::size_t>(row)) * size, source + static_cast<std::size_t>(k) * size, size);
}

void dequantiseFloats(WeightType type, int cols, int row, const std::uint8_t* group, float* out) {
  for (int k = 0; k < cols; ++k) {
    const std::size_t index = static_cast<std::size_t>(k) * groupRows + static_cast<std::size_t>(row);
    if (type == WeightType::f32) std::memcpy(out + k, group + 4 * index, 4);
    if (type == WeightType::f16) out[k] = loadHalf(group + 2 * index);
    if (type == WeightType::bf16) out[k] = fromBfloat(load16(group + 2 * index));
  }
}

void dequantiseBlocks(const Layout& layout, int cols, int row, const std::uint8_t* group, float* out) {
  const std::uint8_t* at = group;
  float superScale = 0, superMin = 0;
  for (int k = 0; k < cols; k += blockCols, at += layout.blockBytes()) {
    if (layout.super && k % superCols == 0) {
      superScale = loadHalf(at + 2 * row);
      if (layout.hasMin) superMin = loadHalf(at + 2 * (groupRows + row));
      at += layout.superHeadBytes();
    }
    for (int s = 0; s < layout.subs(); ++s) {
      float scale, min = 0;
      if (layout.super) {
        const std::uint8_t factor = at[s * groupRows + row];
        scale = superScale * static_cast<float>(layout.hasMin ? factor : static_cast<std::int8_t>(factor));
        if (layout.hasMin) min = -(superMin * static_cast<float>(at[(layout.subs() + s) * groupRows + row]));
      } else {
        scale = loadHalf(at + 2 * row);
        if (layout.hasMin) min = loadHalf(at + 2 * (groupRows + row));
      }
      for (int j = s * layout.sub; j < (s + 1) * layout.sub; ++j) {
        const int code = codeAt(layout, at + layout.headBytes(), row, j);
        out[k + j] = scale * static_cast<float>(code - layout.offset);
        if (layout.hasMin) out[k + j] += min;
      }
    }
  }
}

}  // namespace

std::size_t packedBytes(WeightType type, int rows, int cols, Isa) {
  return static_cast<std::size_t>(groupsOf(rows)) * layoutOf(type).groupBytes(cols);
}

void packRows(WeightType type, int rows, int cols, Isa, int first, int count, const std::uint8_t* source,
              std::uint8_t* packed) {
  const Layout layout = layoutOf(type);
  const std::size_t groupBytes = layout.groupBytes(cols);
  const std::size_t sourceBytes = static_cast<std::size_t>(cols / fileBlockCols(type)) * static_cast<std::size_t>(fileBlockBytes(type));
  const int end = first + count < rows ? first + count : rows;
  for (int row = first; row < end; ++row, source += sourceBytes) {
    std::uint8_t* group = packed + static_cast<std::size_t>(row / groupRows) * groupBytes;
    if (row % groupRows == 0) std::memset(group, 0, groupBytes);  // rows past the end stay zero weights
    if (layout.isFloat()) packFloatRow(layout, cols, source, row % groupRows, group);
    else packQuantisedRow(type, cols, source, row % groupRows, group);
  }
}

void dequantiseRow(const Weight& weight, int row, float* out) {
  const Layout layout = layoutOf(weight.type);
  const std::uint8_t* group = weight.data + static_cast<std::size_t>(row / groupRows) * layout.groupBytes(weight.cols);
  if (layout.isFloat()) dequantiseFloats(weight.type, weight.cols, row % groupRows, group, out);
  else dequantiseBlocks(layout, weight.cols, row % groupRows, group, out);
}

void embedRows(Context& context, const Weight& table, const std::int32_t* ids, int count, float* out,
               std::size_t outStride) {
  constexpr int rowsPerTask = 16;
  context.forEach((count + rowsPerTask - 1) / rowsPerTask, [&](int task, int) {
    if (context.cancelled()) return;
    const int end = (task + 1) * rowsPerTask < count ? (task + 1) * rowsPerTask : count;
    for (int i = task * rowsPerTask; i < end; ++i) dequantiseRow(table, ids[i], out + static_cast<std::size_t>(i) * outStride);
  });
}

}  // namespace kvasir
