// Reads the quantised blocks of a GGUF file as codes and scales.
#pragma once

#include <cstdint>

#include "kvasir/linear.h"

namespace kvasir::lin {

// One block of a row as the file holds it: 32 columns, or 256 for the K-quants.
struct FileBlock {
  std::uint16_t scale;         // f16 bits
  std::uint16_t min;           // f16 bits: the min, or the K-quants' scale of minima
  std::uint8_t factors[16];    // K-quants: of the scale, one per sub-block (two's complement for Q3_K and Q6_K)
  std::uint8_t minFactors[16];
  std::uint8_t codes[256];
};

int fileBlockCols(WeightType type);
int fileBlockBytes(WeightType type);

// Codes come out in the packed form's convention (Layout::offset, storedAs).
void readFileBlock(WeightType type, const std::uint8_t* source, FileBlock& block);

}  // namespace kvasir::lin
