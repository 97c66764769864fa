// GGUF rows -> the layout of weights on a device, on the host.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kvasir::gpu {

// Bytes of a matrix on the device; of unknown types 0. `type`: KVASIR_WEIGHT_*.
std::size_t deviceWeightBytes(int type, int rows, int cols);

// Packs `count` rows as they stand in a GGUF file (row-major blocks) into `packed`, deviceWeightBytes(type, count, cols)
// bytes, 4-byte aligned. Callers stream a tensor through in pieces that start at multiples of 16 rows: the piece from row `first`
// on lies at deviceWeightBytes(type, first, cols) of the matrix. Rows that fill up the last group are zero.
void packDeviceRows(int type, int cols, int count, const std::uint8_t* source, std::uint8_t* packed);

}  // namespace kvasir::gpu
