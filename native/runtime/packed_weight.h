// Weights as one backend keeps them.
#pragma once

#include "kvasir/linear.h"
#include "memory.h"

namespace kvasir {

class StoredWeight {
 public:
  virtual ~StoredWeight() = default;

  // Of `first` on a multiple of 64: `count` rows as they stand in a GGUF file.
  virtual void pack(Context& context, int first, int count, const std::uint8_t* source, std::size_t rowBytes) = 0;
  // The values of one row, from any thread.
  virtual void readRow(int row, float* out) const = 0;
  virtual std::size_t bytes() const = 0;

  // `data` is where ops of the backend find it.
  Weight weight{};
};

// In host memory, packed for one instruction set.
class PackedWeight final : public StoredWeight {
 public:
  PackedWeight(WeightType type, int rows, int cols, Isa isa) : memory_(packedBytes(type, rows, cols, isa)) {
    weight = {type, rows, cols, isa, memory_.data()};
  }

  void pack(Context& context, int first, int count, const std::uint8_t* source, std::size_t rowBytes) override {
    constexpr int packPiece = 64;
    context.forEach((count + packPiece - 1) / packPiece, [&](int piece, int) {
      const int skipped = piece * packPiece;
      const int rows = count - skipped < packPiece ? count - skipped : packPiece;
      packRows(weight.type, weight.rows, weight.cols, weight.isa, first + skipped, rows, source + skipped * rowBytes,
               memory_.data());
    });
  }
  void readRow(int row, float* out) const override { dequantiseRow(weight, row, out); }
  std::size_t bytes() const override { return memory_.bytes(); }

 private:
  Memory memory_;
};

}  // namespace kvasir
