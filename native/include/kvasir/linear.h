// Linear layers on quantised weights: y = x W^T (+ bias).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kvasir/context.h"

namespace kvasir {

// The numbers are GGUF's tensor type ids.
enum class WeightType : int {
  f32 = 0, f16 = 1, q4_0 = 2, q4_1 = 3, q5_0 = 6, q5_1 = 7, q8_0 = 8,
  q2_k = 10, q3_k = 11, q4_k = 12, q5_k = 13, q6_k = 14, iq4_nl = 20, bf16 = 30,
};

// A matrix W [rows = out features][cols = in features], packed for one instruction set.
// `data` is owned by the caller and holds packedBytes(type, rows, cols, isa) bytes, 64-byte aligned.
struct Weight {
  WeightType type;
  int rows;
  int cols;
  Isa isa;
  const std::uint8_t* data;
};

std::size_t packedBytes(WeightType type, int rows, int cols, Isa isa);

// Packs `count` rows as they stand in a GGUF file (row-major blocks) from row `first` on; callers stream a
// tensor through in pieces that start at multiples of 64 rows, so that no second copy of it ever exists.
void packRows(WeightType type, int rows, int cols, Isa isa, int first, int count, const std::uint8_t* source,
              std::uint8_t* packed);

// out [cols]: row `row` of W as float32, exactly the value that the format defines.
void dequantiseRow(const Weight& weight, int row, float* out);

// Prefill and decode are two bodies. Within one (path, mode) an output row depends on its input row and the
// weights only: not on the number of rows, their order, the thread count.
enum class LinearPath : int { prefill = 0, decode = 1 };
// exact: float32 activations; decode of quantised types takes them as 24-bit fixed point in blocks of 32, within
// 2^-24 of the block's largest, which is no coarser than a float32 sum. fast: activations rounded to 8 bits in blocks
// of 32 for quantised types (float types stay exact); here both paths give the same bits.
enum class LinearMode : int { exact = 0, fast = 1 };

struct LinearPart {
  const Weight* weight;     // all parts of one call share cols
  const float* bias;        // [weight->rows] or null
  float* out;               // [rows][outStride]
  std::size_t outStride;    // in floats
  bool accumulate;          // out += y instead of out = y
};

// x [rows][xStride] float32. The parts share the input, its quantisation and the fork.
void linear(Context& context, const float* x, std::size_t xStride, int rows, const LinearPart* parts, int numParts,
            LinearPath path, LinearMode mode);

// out [count][outStride]: rows ids[i] of the table as float32.
void embedRows(Context& context, const Weight& table, const std::int32_t* ids, int count, float* out,
               std::size_t outStride);

}  // namespace kvasir
