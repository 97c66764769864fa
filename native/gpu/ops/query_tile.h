// The queries of a block: whole rows of one sequence times the query heads of a KV head; lane = row * group + head.
#pragma once

#include "../args/views.h"
#include "../context/vocabulary.h"

namespace kvasir::gpu {

constexpr float kLowest = -3.402823466e38f;  // where a maximum starts: less than any score, and finite

struct QueryTile {
  int sequence;
  int firstRow;  // of the batch
  int rows;      // none where there are fewer tiles than numbers
};

// Sequence s has the numbers from rowStarts[s] / rowsPerTile + s on: as many as it may need, found without a table. Counted
// from the back, since the last rows see most keys.
KVASIR_DEVICE QueryTile queryTileOf(const KvasirBatch& batch, int number, int rowsPerTile) {
  int sequence = 0, last = batch.numSequences - 1;
  while (sequence < last) {
    const int middle = (sequence + last + 1) / 2;
    if (batch.rowStarts[middle] / rowsPerTile + middle <= number) sequence = middle;
    else last = middle - 1;
  }
  const int start = batch.rowStarts[sequence], end = batch.rowStarts[sequence + 1];
  const int firstRow = start + (number - start / rowsPerTile - sequence) * rowsPerTile;
  return {sequence, firstRow, most(0, least(rowsPerTile, end - firstRow))};
}

// Index of row `row` of the batch, one of sequence s.
KVASIR_DEVICE int indexOfRow(const KvasirBatch& batch, int sequence, int row) {
  return batch.positions != nullptr ? batch.positions[row]
                                    : batch.contextTokens[sequence] - (batch.rowStarts[sequence + 1] - row);
}

KVASIR_DEVICE int firstSeen(int index, int windowTokens) {
  return windowTokens > 0 && index >= windowTokens ? index - windowTokens + 1 : 0;
}

constexpr unsigned laneTableBytes(int lanes) { return 3u * 4u * static_cast<unsigned>(lanes); }

// What a block knows of its lanes, in shared memory. Lanes beyond the last row have its indices and no place.
template <class Cx>
struct LaneTable {
  typename Cx::template Shared<int> first;  // index that it sees first
  typename Cx::template Shared<int> last;
  typename Cx::template Shared<int> place;  // row * numHeads + head, or -1

  KVASIR_DEVICE LaneTable(Cx& cx, int lanes)
      : first(cx.template shared<int>(lanes)), last(cx.template shared<int>(lanes)), place(cx.template shared<int>(lanes)) {}

  KVASIR_DEVICE void fill(Cx& cx, const KvasirBatch& batch, const QueryTile& tile, int lanes, int numHeads, int kvHead, int group,
                          int windowTokens) {
    cx.each([&](int thread) {
      if (thread >= lanes) return;
      const int row = least(thread / group, tile.rows - 1);
      const int index = indexOfRow(batch, tile.sequence, tile.firstRow + row);
      first[thread] = firstSeen(index, windowTokens);
      last[thread] = index;
      place[thread] = thread < tile.rows * group ? (tile.firstRow + row) * numHeads + kvHead * group + thread % group : -1;
    });
  }
};

// What lanes [lane, lane + count) see of keys [start, start + keys): indices ascend from lane to lane.
struct Sight {
  bool any;
  bool all;
};

template <class Cx>
KVASIR_DEVICE Sight sightOf(const LaneTable<Cx>& table, int lane, int count, int start, int keys) {
  const int lowFirst = table.first[lane], highFirst = table.first[lane + count - 1];
  const int lowLast = table.last[lane], highLast = table.last[lane + count - 1];
  return {start <= highLast && start + keys > lowFirst, start >= highFirst && start + keys - 1 <= lowLast};
}

}  // namespace kvasir::gpu
