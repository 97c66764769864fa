// Fused causal attention on any `Vec`: online softmax over key tiles (Milakov and Gimelshein 2018; Dao et al. 2022).
//
// Lanes are queries (lane = row * group + head), so that maxima, sums and rescaling need no shuffles: scores are
// S^T [keys][lanes] = K [keys][dim] * Q^T [dim][lanes], and O^T [dim][lanes] += V^T [dim][keys] * P^T [keys][lanes].
// The left operand of both products is read one broadcast number at a time, so K and V are used as they are stored.
//
// A lane's operations do not depend on its neighbours: tiles start at multiples of kKeyTile of the index; a key that
// a lane does not see gets probability 0 and is left out of its product, which keeps every bit of the lane's state.
#pragma once

#include "../simd/exp.inl"
#include "kernels.h"

namespace kvasir::attention {
namespace {

constexpr int kKeyTile = 128;
constexpr int kPanelLanes = Vec::kTileVecs * Vec::kLanes;
constexpr int kMostKeyGroup = 8;  // keys are scored in groups of kTileRows, which divides this
constexpr float kLog2E = 0x1.715476p+0f;
constexpr float kMinusInfinity = -__builtin_inff();

// Query lanes of one register tile's width and what the softmax knows about them so far.
struct Panel {
  int vecs;                                    // vectors in use; the stride of q and out is vecs * kLanes
  int lanes;                                   // lanes in use; the others repeat the last one's position with q = 0
  int lowFirst, highFirst, lowLast, highLast;  // ranges of first and last over the lanes
  float* q;                                    // [headDim][vecs * kLanes], in units of log2
  float* out;                                  // [paddedDim][vecs * kLanes], unfinished
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
};

inline int roundUp(int x, int unit) { return (x + unit - 1) / unit * unit; }
inline int paddedDimOf(int headDim) { return roundUp(headDim, kMostKeyGroup); }
// Whole vectors, so that rows are converted without tails.
inline int tileStride(int headDim) {
  return roundUp(headDim, Vec::kLanes < kMostKeyGroup ? kMostKeyGroup : Vec::kLanes);
}
inline int panelFloats(int headDim) { return (headDim + paddedDimOf(headDim) + 4) * kPanelLanes; }

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
    for (int dim = 0; dim < tile.headDim; ++dim, q += kWidth) {
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

// out = out * fade + V^T P^T over keys [begin, end).
template <int kVecs, bool kMasked>
inline void addValues(const KeyTile& tile, const Panel& panel, int begin, int end, const Vec::F (&fade)[kVecs]) {
  constexpr int kWidth = kVecs * Vec::kLanes;
  for (int dim = 0; dim < tile.paddedDim; dim += Vec::kTileRows) {
    Vec::F acc[Vec::kTileRows][kVecs];
    for (int i = 0; i < Vec::kTileRows; ++i) {
      for (int v = 0; v < kVecs; ++v) acc[i][v] = Vec::zero();
    }
    const float* values = tile.values + begin * tile.stride + dim;
    const float* weights = tile.scores + begin * kWidth;
    for (int key = begin; key < end; ++key, values += tile.stride, weights += kWidth) {
      Vec::F lanes[kVecs];
      for (int v = 0; v < kVecs; ++v) lanes[v] = Vec::load(weights + v * Vec::kLanes);
      if (kMasked) {
        Vec::M visible[kVecs];
        visibleLanes(panel, tile.start + key, visible);
        for (int i = 0; i < Vec::kTileRows; ++i) {
          const Vec::F value = Vec::set(values[i]);
          for (int v = 0; v < kVecs; ++v) acc[i][v] = Vec::fmaWhere(visible[v], value, lanes[v], acc[i][v]);
        }
      } else {
        for (int i = 0; i < Vec::kTileRows; ++i) {
          const Vec::F value = Vec::set(values[i]);
          for (int v = 0; v < kVecs; ++v) acc[i][v] = Vec::fma(value, lanes[v], acc[i][v]);
        }
      }
    }
    float* out = panel.out + dim * kWidth;
    for (int i = 0; i < Vec::kTileRows; ++i) {
      for (int v = 0; v < kVecs; ++v, out += Vec::kLanes) Vec::store(out, Vec::fma(Vec::load(out), fade[v], acc[i][v]));
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

template <int kVecs, bool kMasked>
void attendTile(const KeyTile& tile, Panel& panel, int begin, int end) {
  Vec::F high[kVecs], shift[kVecs], fade[kVecs], sum[kVecs];
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
  addValues<kVecs, kMasked>(tile, panel, begin, end, fade);
}

template <int kVecs>
void attendTileOf(const KeyTile& tile, Panel& panel) {
  const int stop = tile.start + kKeyTile;
  const int from = panel.lowFirst > tile.start ? panel.lowFirst - tile.start : 0;
  const int to = panel.highLast + 1 < stop ? panel.highLast + 1 - tile.start : kKeyTile;
  if (from >= to) return;
  const int begin = from / Vec::kTileRows * Vec::kTileRows, end = roundUp(to, Vec::kTileRows);
  if (panel.highFirst <= tile.start + begin && tile.start + end <= panel.lowLast + 1) {
    attendTile<kVecs, false>(tile, panel, begin, end);
  } else {
    attendTile<kVecs, true>(tile, panel, begin, end);
  }
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

// Rows [from, to) of the tile as float32; rows up to the next multiple of kMostKeyGroup are zero.
inline void convertTile(const HeadRows& kv, int start, int from, int to, int stride, float* keys, float* values) {
  for (int i = from; i < to; ++i) {
    const std::uint8_t* key = kv.key(start + i);
    convertRow(key, kv.type, kv.headDim, stride, keys + i * stride);
    convertRow(key + kv.valueStride, kv.type, kv.headDim, stride, values + i * stride);
  }
  for (int i = to * stride; i < roundUp(to, kMostKeyGroup) * stride; ++i) keys[i] = values[i] = 0.0f;
}

inline void openPanel(const PrefillTask& task, int firstLane, int lanes, float* memory, Panel& panel) {
  panel.lanes = lanes;
  panel.vecs = (lanes + Vec::kLanes - 1) / Vec::kLanes;
  const int width = panel.vecs * Vec::kLanes, headDim = task.kv.headDim;
  panel.q = memory;
  panel.out = panel.q + headDim * width;
  panel.max = panel.out + paddedDimOf(headDim) * width;
  panel.sum = panel.max + width;
  panel.first = reinterpret_cast<std::int32_t*>(panel.sum + width);
  panel.last = panel.first + width;
  const float scale = task.scale * kLog2E;
  for (int lane = 0; lane < width; ++lane) {
    const int query = firstLane + (lane < lanes ? lane : lanes - 1);
    const int index = task.position + query / task.group;
    panel.last[lane] = index;
    panel.first[lane] = task.windowTokens > 0 && index >= task.windowTokens ? index - task.windowTokens + 1 : 0;
    panel.max[lane] = kMinusInfinity;
    panel.sum[lane] = 0.0f;
    const float* q = task.q + (query / task.group) * task.rowStride + (query % task.group) * headDim;
    for (int dim = 0; dim < headDim; ++dim) panel.q[dim * width + lane] = lane < lanes ? q[dim] * scale : 0.0f;
  }
  for (int i = 0; i < paddedDimOf(headDim) * width; ++i) panel.out[i] = 0.0f;
  panel.lowFirst = panel.first[0];
  panel.highFirst = panel.first[width - 1];
  panel.lowLast = panel.last[0];
  panel.highLast = panel.last[width - 1];
}

inline void closePanel(const PrefillTask& task, int firstLane, const Panel& panel) {
  const int width = panel.vecs * Vec::kLanes, headDim = task.kv.headDim;
  for (int lane = 0; lane < panel.lanes; ++lane) {
    const int query = firstLane + lane;
    float* out = task.out + (query / task.group) * task.rowStride + (query % task.group) * headDim;
    const float inverse = 1.0f / panel.sum[lane];
    // Adding 0 turns -0, whose sign may hang on masked terms, into +0.
    for (int dim = 0; dim < headDim; ++dim) out[dim] = panel.out[dim * width + lane] * inverse + 0.0f;
  }
}

std::size_t prefillScratchBytes(int headDim, int rows, int group) {
  const std::size_t panels = static_cast<std::size_t>((rows * group + kPanelLanes - 1) / kPanelLanes);
  const std::size_t tile = static_cast<std::size_t>(kKeyTile) * (2 * tileStride(headDim) + kPanelLanes);
  return panels * sizeof(Panel) + (tile + panels * panelFloats(headDim)) * sizeof(float);
}

void prefill(const PrefillTask& task) {
  const int lanes = task.rows * task.group, headDim = task.kv.headDim, stride = tileStride(headDim);
  const int numPanels = (lanes + kPanelLanes - 1) / kPanelLanes;
  float* keys = reinterpret_cast<float*>(task.scratch);
  float* values = keys + kKeyTile * stride;
  float* scores = values + kKeyTile * stride;
  float* panelMemory = scores + kKeyTile * kPanelLanes;
  Panel* panels = reinterpret_cast<Panel*>(panelMemory + numPanels * panelFloats(headDim));
  for (int p = 0; p < numPanels; ++p) {
    const int left = lanes - p * kPanelLanes;
    openPanel(task, p * kPanelLanes, left < kPanelLanes ? left : kPanelLanes, panelMemory + p * panelFloats(headDim),
              panels[p]);
  }

  const int stop = task.position + task.rows;
  for (int start = panels[0].lowFirst / kKeyTile * kKeyTile; start < stop; start += kKeyTile) {
    if (task.context->cancelled()) return;
    const int to = stop - start < kKeyTile ? stop - start : kKeyTile;
    convertTile(task.kv, start, 0, to, stride, keys, values);
    const KeyTile tile = {start, stride, headDim, paddedDimOf(headDim), keys, values, scores};
    for (int p = 0; p < numPanels; ++p) {
      if (panels[p].vecs == 1) attendTileOf<1>(tile, panels[p]);
      else if (panels[p].vecs == 2) attendTileOf<2>(tile, panels[p]);
      else attendTileOf<3>(tile, panels[p]);
    }
  }
  for (int p = 0; p < numPanels; ++p) closePanel(task, p * kPanelLanes, panels[p]);
}

}  // namespace
}  // namespace kvasir::attention
