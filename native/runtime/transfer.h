// Rows between an arena and memory that holds them as denseView does, in the arena's type.
#pragma once

#include <cstdint>

#include "arena.h"
#include "kvasir/kv_transfer.h"

namespace kvasir {

// Slot slots[r] = row rowsOf[r] of `source`, K turned (null: no row is).
void adoptRows(Context& context, Arena& arena, int layer, const std::uint8_t* source, int sourceTokens,
               const std::int32_t* rowsOf, const std::int32_t* slots, int rows, const KeyTurns* turns);

// out [numKvHeads][K|V][numTokens][headDim] = the first numTokens rows of a sequence.
void exportRows(Context& context, Arena& arena, int layer, const std::int32_t* pages, int numTokens, std::uint8_t* out);

// As compareKv.
void compareRows(Context& context, Arena& arena, int layer, const float* keys, const float* values,
                 const std::int32_t* slots, int rows, float* out);

}  // namespace kvasir
