// Rows that move between caches, and how far new rows are from those that a cache holds.
#pragma once

#include "kvasir/attention.h"
#include "kvasir/rows.h"

namespace kvasir {

// Row r's K is turned by turn rowTurns[r]: pair i of its first rotaryDim values by (cos, sin)[turn][i]. -1: not at all.
struct KeyTurns {
  const float* cos;  // [numTurns][rotaryDim / 2]
  const float* sin;
  RopePairing pairing;
  int rotaryDim;
  const std::int32_t* rowTurns;
};

// Rows of one layer by their slots, physicalPage * 16 + offset.
struct SlotRows {
  KvView kv;
  int layer;
  const std::int32_t* slots;
};

// Rows [numKvHeads][K|V][tokens][headDim] in one piece, as a view whose slots are 0, 1, ..., tokens - 1.
KvView denseView(std::uint8_t* rows, int tokens, KvType type, int numKvHeads, int headDim);

// Row to.slots[r] = row from.slots[r], K turned (null: no row is), V as it is; both caches are of one type. Rows that are not
// turned are copied to the bit; of f16 rows that are, each value is rounded once. The last of rows with one slot stays.
void copyKv(Context& context, const SlotRows& from, const SlotRows& to, int rows, const KeyTurns* turns);

// out[r] = (|k - k'| + |v - v'|, |k| + |v|), lengths over all KV heads: row r of keys, values [rows][numKvHeads][headDim]
// against what slots[r] holds.
void compareKv(Context& context, const KvView& kv, int layer, const float* keys, const float* values,
               const std::int32_t* slots, int rows, float* out);

}  // namespace kvasir
