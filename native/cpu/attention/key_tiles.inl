// Scores of key tiles and the online softmax over them (Milakov and Gimelshein 2018), on any `Vec`.
//
// Lanes are queries, so that maxima, sums and rescaling need no shuffles: scores are S^T [keys][lanes] =
// K [keys][dim] * Q^T [dim][lanes]. The left operand is read one broadcast number at a time, so K is used as it is
// stored. A lane's operations do not depend on its neighbours: tiles start at multiples of kKeyTile of the index, and a
// key that a lane does not see scores -infinity.
#pragma once

#include "../simd/exp.inl"
#include "kernels.h"

namespace kvasir::attention {
namespace {

constexpr int kPanelLanes = Vec::kTileVecs * Vec::kLanes;
constexpr int kMostKeyGroup = 8;  // keys are scored in groups of kTileRows, which divides this
constexpr float kLog2E = 0x1.715476p+0f;
constexpr float kMinusInfinity = -__builtin_inff();

// Query lanes of one register tile's width and what the softmax knows about them so far.
struct Panel {
  int vecs;                                    // vectors in use
  int stride;                                  // of q and out: lanes of the vectors that they are laid out for
  int lanes;                                   // lanes in use; the others repeat the last one's position with q = 0
  int lowFirst, highFirst, lowLast, highLast;  // ranges of first and last over the lanes
  float* q;                                    // [headDim][stride], in units of log2
  float* out;                                  // [paddedDim][stride], unfinished
  float* max;                                  // [vecs * kLanes]
  float* sum;                                  // [vecs * kLanes]
  std::int32_t* first;                         // [vecs * kLanes] first index that the lane sees
  std::int32_t* last;                          // [vecs * kLanes] last index that the lane sees
};

struct KeyTile {
  int start;   // absolute index, a multiple of kKeyTile
  int stride;  // floats from row to row
  int headDim;
  int paddedDim;        // headDim rounded up to a whole number of row groups
  const float* keys;    // [kKeyTile][stride]
  const float* values;  // [kKeyTile][stride], zero beyond headDim
  float* scores;        // [kKeyTile][kPanelLanes]
  bool finite = false;  // no value is NaN or infinite
};

inline int roundUp(int x, int unit) { return (x + unit - 1) / unit * unit; }
inline int paddedDimOf(int headDim) { return roundUp(headDim, kMostKeyGroup); }
// Whole vectors, so that rows are converted without tails.
inline int tileStride(int headDim) {
  return roundUp(headDim, Vec::kLanes < kMostKeyGroup ? kMostKeyGroup : Vec::kLanes);
}
template <int kVecs>
inline void visibleLanes(const Panel& panel, int index, Vec::M (&visible)[kVecs]) {
  const Vec::I key = Vec::setInt(index);
  for (int v = 0; v < kVecs; ++v) {
    visible[v] = Vec::both(Vec::lessEqual(Vec::loadInt(panel.first + v * Vec::kLanes), key),
                           Vec::lessEqual(key, Vec::loadInt(panel.last + v * Vec::kLanes)));
  }
}

// scores [begin, end) = K Q^T, -infinity where masked; high = the larger of itself and each lane's largest score.
template <int kVecs, bool kMasked>
inline void scoreKeys(const KeyTile& tile, const Panel& panel, int begin, int end, Vec::F (&high)[kVecs]) {
  constexpr int kWidth = kVecs * Vec::kLanes;
  for (int key = begin; key < end; key += Vec::kTileRows) {
    Vec::F acc[Vec::kTileRows][kVecs];
    for (int i = 0; i < Vec::kTileRows; ++i) {
      for (int v = 0; v < kVecs; ++v) acc[i][v] = Vec::zero();
    }
    const float* rows = tile.keys + key * tile.stride;
    const float* q = panel.q;
    for (int dim = 0; dim < tile.headDim; ++dim, q += panel.stride) {
      Vec::F lanes[kVecs];
      for (int v = 0; v < kVecs; ++v) lanes[v] = Vec::load(q + v * Vec::kLanes);
      for (int i = 0; i < Vec::kTileRows; ++i) {
        const Vec::F k = Vec::set(rows[i * tile.stride + dim]);
        for (int v = 0; v < kVecs; ++v) acc[i][v] = Vec::fma(k, lanes[v], acc[i][v]);
      }
    }
    float* scores = tile.scores + key * kWidth;
    for (int i = 0; i < Vec::kTileRows; ++i) {
      if (kMasked) {
        Vec::M visible[kVecs];
        visibleLanes(panel, tile.start + key + i, visible);
        for (int v = 0; v < kVecs; ++v) acc[i][v] = Vec::select(visible[v], acc[i][v], Vec::set(kMinusInfinity));
      }
      for (int v = 0; v < kVecs; ++v) {
        Vec::store(scores + i * kWidth + v * Vec::kLanes, acc[i][v]);
        high[v] = Vec::max(high[v], acc[i][v]);
      }
    }
  }
}

// Probabilities in place of the scores of keys [begin, end); adds them up in the order of the keys.
template <int kVecs>
inline void weighKeys(const KeyTile& tile, int begin, int end, const Vec::F (&shift)[kVecs], Vec::F (&sum)[kVecs]) {
  float* scores = tile.scores + begin * kVecs * Vec::kLanes;
  for (int key = begin; key < end; ++key) {
    for (int v = 0; v < kVecs; ++v, scores += Vec::kLanes) {
      const Vec::F weight = exp2NonPositive(Vec::sub(Vec::load(scores), shift[v]));
      Vec::store(scores, weight);
      sum[v] = Vec::add(sum[v], weight);
    }
  }
}

// Scores of keys [begin, end), then probabilities relative to each lane's largest score so far; fade = what all that was
// added up before shrinks by. Moves the panel's max and sum on.
template <int kVecs, bool kMasked>
inline void weighTile(const KeyTile& tile, const Panel& panel, int begin, int end, Vec::F (&fade)[kVecs]) {
  Vec::F high[kVecs], shift[kVecs], sum[kVecs];
  for (int v = 0; v < kVecs; ++v) high[v] = Vec::load(panel.max + v * Vec::kLanes);
  scoreKeys<kVecs, kMasked>(tile, panel, begin, end, high);
  for (int v = 0; v < kVecs; ++v) {
    // A lane that has seen nothing yet would subtract infinity from infinity.
    shift[v] = Vec::select(Vec::equal(high[v], Vec::set(kMinusInfinity)), Vec::zero(), high[v]);
    fade[v] = exp2NonPositive(Vec::sub(Vec::load(panel.max + v * Vec::kLanes), shift[v]));
    sum[v] = Vec::zero();
    Vec::store(panel.max + v * Vec::kLanes, high[v]);
  }
  weighKeys<kVecs>(tile, begin, end, shift, sum);
  for (int v = 0; v < kVecs; ++v) {
    float* total = panel.sum + v * Vec::kLanes;
    Vec::store(total, Vec::fma(Vec::load(total), fade[v], sum[v]));
  }
}

// Keys of a tile that lanes of a panel see, in whole groups of kTileRows.
struct KeyRange {
  int begin, end;  // empty: begin == end
  bool masked;     // some lane does not see one of them
};

inline KeyRange visibleKeys(const KeyTile& tile, const Panel& panel) {
  const int stop = tile.start + kKeyTile;
  const int from = panel.lowFirst > tile.start ? panel.lowFirst - tile.start : 0;
  const int to = panel.highLast + 1 < stop ? panel.highLast + 1 - tile.start : kKeyTile;
  if (from >= to) return {0, 0, false};
  const int begin = from / Vec::kTileRows * Vec::kTileRows, end = roundUp(to, Vec::kTileRows);
  return {begin, end, panel.highFirst > tile.start + begin || tile.start + end > panel.lowLast + 1};
}

// The panel without its first vectors that see no key of the tile any more; lanes of a vector ascend by what they see
// last. What is left out would have kept every bit. Returns how many those are.
inline int dropPast(const KeyTile& tile, Panel& panel) {
  int past = 0;
  while (past + 1 < panel.vecs && panel.last[(past + 1) * Vec::kLanes - 1] < tile.start) ++past;
  const int lanes = past * Vec::kLanes;
  panel.vecs -= past;
  panel.q += lanes;
  panel.max += lanes;
  panel.sum += lanes;
  panel.first += lanes;
  panel.last += lanes;
  return past;
}

inline void convertRow(const void* row, KvType type, int headDim, int stride, float* out) {
  const int whole = headDim / Vec::kLanes * Vec::kLanes, tail = headDim - whole;
  if (type == KvType::f16) {
    const std::uint16_t* from = static_cast<const std::uint16_t*>(row);
    for (int i = 0; i < whole; i += Vec::kLanes) Vec::store(out + i, Vec::load(from + i));
    if (tail) Vec::store(out + whole, Vec::loadPart(from + whole, tail));
  } else {
    const float* from = static_cast<const float*>(row);
    for (int i = 0; i < whole; i += Vec::kLanes) Vec::store(out + i, Vec::load(from + i));
    if (tail) Vec::store(out + whole, Vec::loadPart(from + whole, tail));
  }
  for (int i = roundUp(headDim, Vec::kLanes); i < stride; ++i) out[i] = 0.0f;
}

}  // namespace
}  // namespace kvasir::attention
