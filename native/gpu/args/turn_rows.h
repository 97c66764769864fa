/* turnRows: row to.slots[r] = row from.slots[r], for all KV heads; K turned, V as it is. As copyKv of kvasir/kv_transfer.h:
 * row r's K is turned by turn rowTurns[r], pair i of its first rotaryDim values by (cos, sin)[turn][i]; -1 or rowTurns null:
 * not at all. Both views are of one type, number of heads and headDim (rows of 16 to 2048 bytes, multiples of 16). Rows
 * not turned are copied to the bit; of f16 rows that are turned each value is computed in f32 and rounded once.
 * No slot that is written is read. */
#ifndef KVASIR_GPU_ARGS_TURN_ROWS_H
#define KVASIR_GPU_ARGS_TURN_ROWS_H

#include "views.h"

typedef struct KvasirTurnRowsArgs {
  KvasirSlotRows from;
  KvasirSlotRows to;
  int32_t rows;
  const float* cos; /* [numTurns][rotaryDim / 2], each row 16-byte aligned where rotaryDim is a multiple of 8 */
  const float* sin;
  const int32_t* rowTurns; /* [rows] or null */
  int32_t pairing;         /* KVASIR_PAIRS_* */
  int32_t rotaryDim;
  /* One word a slot of `to`, contents lost: of rows with one slot the last stays. Null: slots of `to` are distinct. */
  int32_t* winners;
  int32_t maxBlocks; /* 0: as many as there is work for; else leaves the rest of the device to others */
} KvasirTurnRowsArgs;

#endif
