// What the kernels of bringRows tell each other.
#pragma once

#include "../args/bring_rows.h"
#include "attend_list.h"
#include "hot_layer.h"
#include "last_block.h"

namespace kvasir::gpu {

struct ListCounts {
  int tokens;
  int units;
  int hits;
  int misses;
  int missed;  // rows that have no slot and may take one
  int direct;  // rows read where they lie
};

struct BringSpace {
  ListCounts* counts;        // [lists]
  std::int32_t* missStarts;  // [lists + 1] prefix sums of `missed`
  std::int32_t* fits;        // [numSequences]
  // By place in keys, the rows of a list that were missed first: which they are, where their addresses go, and over all
  // lists those that take a slot for their unit.
  std::uint32_t* missRows;
  std::int32_t* missAt;
  std::int32_t* owners;

  KVASIR_BOTH BringSpace(void* workspace, int lists, int numSequences, int maxTokens) {
    counts = static_cast<ListCounts*>(workspace);
    missStarts = reinterpret_cast<std::int32_t*>(counts + lists);
    fits = missStarts + lists + 1;
    missRows = reinterpret_cast<std::uint32_t*>(fits + numSequences);
    missAt = fits + numSequences + wide(lists) * wide(maxTokens);
    owners = missAt + wide(lists) * wide(maxTokens);
  }
};

struct BringArgs {
  KvasirBringRowsArgs op;
  int rowsOfSequence;  // lists

  KVASIR_BOTH int lists() const { return op.numSequences * rowsOfSequence; }
  KVASIR_BOTH BringSpace space() const { return BringSpace(op.workspace, lists(), op.numSequences, op.maxTokens); }
};

// In place of a slot: the first that asks for a unit, by the least place in keys, takes one for it.
constexpr std::int32_t kPending = -0x7fffffff - 1;

}  // namespace kvasir::gpu
