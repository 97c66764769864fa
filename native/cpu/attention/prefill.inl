// Fused causal attention on any `Vec`: online softmax over key tiles (Dao et al. 2022), lane = row * group + head.
//
// O^T [dim][lanes] += V^T [dim][keys] * P^T [keys][lanes], V read one broadcast number at a time as it is stored. A key
// that a lane does not see is left out of its product, which keeps every bit of the lane's state.
#pragma once

#include "key_tiles.inl"

namespace kvasir::attention {
namespace {

inline int panelFloats(int headDim) { return (headDim + paddedDimOf(headDim) + 4) * kPanelLanes; }

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
    for (int i = 0; i < Vec::kTileRows; ++i) {
      float* out = panel.out + (dim + i) * panel.stride;
      for (int v = 0; v < kVecs; ++v, out += Vec::kLanes) Vec::store(out, Vec::fma(Vec::load(out), fade[v], acc[i][v]));
    }
  }
}

template <int kVecs, bool kMasked>
void attendTile(const KeyTile& tile, const Panel& panel, int begin, int end) {
  Vec::F fade[kVecs];
  weighTile<kVecs, kMasked>(tile, panel, begin, end, fade);
  // A masked weight is 0, and 0 times a finite value adds nothing.
  if (kMasked && !tile.finite) addValues<kVecs, true>(tile, panel, begin, end, fade);
  else addValues<kVecs, false>(tile, panel, begin, end, fade);
}

template <int kVecs>
void attendTileOf(const KeyTile& tile, const Panel& panel) {
  const KeyRange keys = visibleKeys(tile, panel);
  if (keys.begin == keys.end) return;
  if (keys.masked) attendTile<kVecs, true>(tile, panel, keys.begin, keys.end);
  else attendTile<kVecs, false>(tile, panel, keys.begin, keys.end);
}

// The first `count` rows of the tile as float32; rows up to the next multiple of kMostKeyGroup are zero. Returns whether
// all values are finite.
inline bool convertTile(const HeadRows& kv, int start, int count, int stride, float* keys, float* values) {
  constexpr int kChains = 4;  // hides the latency of the sums
  Vec::F zeros[kChains] = {Vec::zero(), Vec::zero(), Vec::zero(), Vec::zero()};  // NaN once a value is not finite
  for (int i = 0; i < count; ++i) {
    const std::uint8_t* key = kv.key(start + i);
    float* row = values + i * stride;
    convertRow(key, kv.type, kv.headDim, stride, keys + i * stride);
    convertRow(key + kv.valueStride, kv.type, kv.headDim, stride, row);
    for (int v = 0; v * Vec::kLanes < kv.headDim; ++v) {
      zeros[v % kChains] = Vec::fma(Vec::load(row + v * Vec::kLanes), Vec::zero(), zeros[v % kChains]);
    }
  }
  for (int i = count * stride; i < roundUp(count, kMostKeyGroup) * stride; ++i) keys[i] = values[i] = 0.0f;
  return Vec::sum(Vec::add(Vec::add(zeros[0], zeros[1]), Vec::add(zeros[2], zeros[3]))) == 0.0f;
}

inline void openPanel(const PrefillTask& task, int firstLane, int lanes, float* memory, Panel& panel) {
  panel.lanes = lanes;
  panel.vecs = (lanes + Vec::kLanes - 1) / Vec::kLanes;
  const int width = panel.vecs * Vec::kLanes, headDim = task.kv.headDim;
  panel.stride = width;
  panel.q = memory;
  panel.out = panel.q + headDim * width;
  panel.max = panel.out + paddedDimOf(headDim) * width;
  panel.sum = panel.max + width;
  panel.first = reinterpret_cast<std::int32_t*>(panel.sum + width);
  panel.last = panel.first + width;
  const float scale = task.scale * kLog2E;
  for (int lane = 0; lane < width; ++lane) {
    const int query = firstLane + (lane < lanes ? lane : lanes - 1);
    const int index = task.index(query / task.group);
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
    task.max[query] = panel.max[lane];
    task.sum[query] = panel.sum[lane];
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
  // The first panel is the one with lanes to spare: its rows see fewest keys.
  const auto firstLaneOf = [&](int p) { return p == 0 ? 0 : lanes - (numPanels - p) * kPanelLanes; };
  for (int p = 0; p < numPanels; ++p) {
    const int first = firstLaneOf(p);
    openPanel(task, first, firstLaneOf(p + 1) - first, panelMemory + p * panelFloats(headDim), panels[p]);
  }

  const int stop = task.index(task.rows - 1) + 1;
  for (int start = panels[0].lowFirst / kKeyTile * kKeyTile; start < stop; start += kKeyTile) {
    if (task.context->cancelled()) return;
    const int to = stop - start < kKeyTile ? stop - start : kKeyTile;
    const bool finite = convertTile(task.kv, start, to, stride, keys, values);
    const KeyTile tile = {start, stride, headDim, paddedDimOf(headDim), keys, values, scores, finite};
    for (int p = 0; p < numPanels; ++p) {
      Panel panel = panels[p];
      panel.out += dropPast(tile, panel) * Vec::kLanes;
      panel.lowFirst = panel.first[0];
      panel.lowLast = panel.last[0];
      if (panel.vecs == 1) attendTileOf<1>(tile, panel);
      else if (panel.vecs == 2) attendTileOf<2>(tile, panel);
      else attendTileOf<3>(tile, panel);
    }
  }
  for (int p = 0; p < numPanels; ++p) closePanel(task, firstLaneOf(p), panels[p]);
}

}  // namespace
}  // namespace kvasir::attention
