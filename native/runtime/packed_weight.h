// A weight in its own memory, packed for one instruction set.
#pragma once

#include "kvasir/linear.h"
#include "memory.h"

namespace kvasir {

struct PackedWeight {
  Memory memory;
  Weight weight;

  PackedWeight(WeightType type, int rows, int cols, Isa isa) : memory(packedBytes(type, rows, cols, isa)) {
    weight = {type, rows, cols, isa, memory.data()};
  }

  // `source`: rows [first, first + count) as they stand in a GGUF file; first is a multiple of packPiece.
  void pack(Context& context, int first, int count, const std::uint8_t* source, std::size_t rowBytes) {
    constexpr int packPiece = 64;
    context.forEach((count + packPiece - 1) / packPiece, [&](int piece, int) {
      const int skipped = piece * packPiece;
      const int rows = count - skipped < packPiece ? count - skipped : packPiece;
      packRows(weight.type, weight.rows, weight.cols, weight.isa, first + skipped, rows, source + skipped * rowBytes,
               memory.data());
    });
  }
};

}  // namespace kvasir
