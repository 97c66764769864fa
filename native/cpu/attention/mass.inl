// Column sums of softmax weights on any `Vec`: what each key gets from a block of query rows.
//
// Lanes are padded to whole vectors of one head each, so that a key's weights of a head are added up vector by vector
// and across lanes only once a tile. Without lse scores are computed twice rather than stored; both times they have the
// same bits.
#pragma once

#include "key_tiles.inl"

namespace kvasir::attention {
namespace {

// How the queries of a KV head fall into vectors and panels.
struct MassShape {
  int headVecs;  // vectors of one head; lanes beyond its rows repeat the last row's position with q = 0
  int lanes;     // of all heads
  int panels;

  MassShape(int rows, int group) {
    headVecs = (rows + Vec::kLanes - 1) / Vec::kLanes;
    lanes = headVecs * group * Vec::kLanes;
    panels = (headVecs * group + Vec::kTileVecs - 1) / Vec::kTileVecs;
  }
};

// What openMass lays out in the state of a task.
struct MassState {
  Panel* panels;
  float* q;
  std::int32_t* first;  // [lanes]
  std::int32_t* last;   // [lanes]
  float* max;           // [numBlocks][lanes]; those of block 0 over all keys once closed, or lse
  float* sum;           // the same; once closed, block 0 holds 1 / sum (1 for lse), and 0 for lanes that are no row

  MassState(std::byte* memory, const MassShape& shape, int headDim, int numBlocks) {
    const std::size_t lanes = static_cast<std::size_t>(shape.lanes);
    q = reinterpret_cast<float*>(memory);
    max = q + lanes * static_cast<std::size_t>(headDim);
    sum = max + lanes * static_cast<std::size_t>(numBlocks);
    first = reinterpret_cast<std::int32_t*>(sum + lanes * static_cast<std::size_t>(numBlocks));
    last = first + lanes;
    panels = reinterpret_cast<Panel*>(last + lanes);
  }
};

std::size_t massStateBytes(int headDim, int rows, int group, int numBlocks) {
  const MassShape shape(rows, group);
  const std::size_t floats = static_cast<std::size_t>(shape.lanes) * static_cast<std::size_t>(headDim + 2 * numBlocks + 2);
  return floats * sizeof(float) + static_cast<std::size_t>(shape.panels) * sizeof(Panel);
}

// One key tile and its scores, and for each head of the group the sums of each key, a vector a key.
std::size_t massScratchBytes(int headDim, int group) {
  return static_cast<std::size_t>(kKeyTile) * static_cast<std::size_t>(tileStride(headDim) + kPanelLanes + group * Vec::kLanes) *
         sizeof(float);
}

void openMass(const MassTask& task) {
  const MassShape shape(task.rows, task.group);
  const int headDim = task.kv.headDim;
  const MassState state(task.state, shape, headDim, task.numBlocks);
  const float scale = task.scale * kLog2E;
  for (int p = 0; p < shape.panels; ++p) {
    const int left = shape.lanes - p * kPanelLanes, width = left < kPanelLanes ? left : kPanelLanes;
    const std::size_t from = static_cast<std::size_t>(p) * kPanelLanes;
    float* q = state.q + from * static_cast<std::size_t>(headDim);
    std::int32_t* first = state.first + from;
    std::int32_t* last = state.last + from;
    Panel panel = {width / Vec::kLanes, width, width, 0, 0, 0, 0, q, nullptr, nullptr, nullptr, first, last};
    for (int lane = 0; lane < width; ++lane) {
      const int at = p * kPanelLanes + lane, head = at / (shape.headVecs * Vec::kLanes);
      const int place = at % (shape.headVecs * Vec::kLanes), row = place < task.rows ? place : task.rows - 1;
      last[lane] = task.index(row);
      first[lane] = task.windowTokens > 0 && last[lane] >= task.windowTokens ? last[lane] - task.windowTokens + 1 : 0;
      const float* query = task.q + row * task.rowStride + static_cast<std::size_t>(head * headDim);
      if (task.lse != nullptr) {
        const float lse = task.lse[row * task.lseStride + static_cast<std::size_t>(head)];
        state.max[from + static_cast<std::size_t>(lane)] = lse * kLog2E;
        state.sum[from + static_cast<std::size_t>(lane)] = place < task.rows ? 1.0f : 0.0f;
      }
      for (int dim = 0; dim < headDim; ++dim) q[dim * width + lane] = place < task.rows ? query[dim] * scale : 0.0f;
      if (lane == 0 || first[lane] < panel.lowFirst) panel.lowFirst = first[lane];
      if (lane == 0 || first[lane] > panel.highFirst) panel.highFirst = first[lane];
      if (lane == 0 || last[lane] < panel.lowLast) panel.lowLast = last[lane];
      if (lane == 0 || last[lane] > panel.highLast) panel.highLast = last[lane];
    }
    state.panels[p] = panel;
  }
}

// body(tile) for the key tiles of a block, until the caller aborts.
template <class Body>
inline void eachTile(const MassTask& task, int block, Body body) {
  const int headDim = task.kv.headDim, stride = tileStride(headDim), stop = task.index(task.rows - 1) + 1;
  float* keys = reinterpret_cast<float*>(task.scratch);
  const int begin = task.firstKey + block * task.blockKeys;
  for (int start = begin; start < begin + task.blockKeys && start < stop; start += kKeyTile) {
    if (task.context->cancelled()) return;
    const int count = stop - start < kKeyTile ? stop - start : kKeyTile;
    for (int i = 0; i < count; ++i) convertRow(task.kv.key(start + i), task.kv.type, headDim, stride, keys + i * stride);
    for (int i = count * stride; i < roundUp(count, kMostKeyGroup) * stride; ++i) keys[i] = 0.0f;
    body(KeyTile{start, stride, headDim, 0, keys, nullptr, keys + kKeyTile * stride}, count);
  }
}

template <int kVecs>
inline void addStats(const KeyTile& tile, const Panel& panel) {
  const KeyRange keys = visibleKeys(tile, panel);
  if (keys.begin == keys.end) return;
  Vec::F fade[kVecs];
  if (keys.masked) weighTile<kVecs, true>(tile, panel, keys.begin, keys.end, fade);
  else weighTile<kVecs, false>(tile, panel, keys.begin, keys.end, fade);
}

void massStats(const MassTask& task, int block) {
  const MassShape shape(task.rows, task.group);
  const MassState state(task.state, shape, task.kv.headDim, task.numBlocks);
  float* max = state.max + static_cast<std::size_t>(block) * static_cast<std::size_t>(shape.lanes);
  float* sum = state.sum + static_cast<std::size_t>(block) * static_cast<std::size_t>(shape.lanes);
  for (int lane = 0; lane < shape.lanes; ++lane) {
    max[lane] = kMinusInfinity;
    sum[lane] = 0.0f;
  }
  eachTile(task, block, [&](const KeyTile& tile, int) {
    for (int p = 0; p < shape.panels && !task.context->cancelled(); ++p) {
      Panel panel = state.panels[p];
      panel.max = max + static_cast<std::size_t>(p) * kPanelLanes;
      panel.sum = sum + static_cast<std::size_t>(p) * kPanelLanes;
      dropPast(tile, panel);
      if (panel.vecs == 1) addStats<1>(tile, panel);
      else if (panel.vecs == 2) addStats<2>(tile, panel);
      else addStats<3>(tile, panel);
    }
  });
}

void closeMass(const MassTask& task) {
  const MassShape shape(task.rows, task.group);
  const MassState state(task.state, shape, task.kv.headDim, task.numBlocks);
  for (int at = 0; at < shape.lanes; at += Vec::kLanes) {
    Vec::F high = Vec::load(state.max + at), sum = Vec::zero();
    for (int block = 1; block < task.numBlocks; ++block) high = Vec::max(high, Vec::load(state.max + block * shape.lanes + at));
    for (int block = 0; block < task.numBlocks; ++block) {
      const Vec::F shrink = exp2NonPositive(Vec::sub(Vec::load(state.max + block * shape.lanes + at), high));
      sum = Vec::fma(shrink, Vec::load(state.sum + block * shape.lanes + at), sum);
    }
    Vec::store(state.max + at, high);
    Vec::store(state.sum + at, Vec::div(Vec::set(1.0f), sum));
    for (int lane = 0; lane < Vec::kLanes; ++lane) {
      if ((at + lane) % (shape.headVecs * Vec::kLanes) >= task.rows) state.sum[at + lane] = 0.0f;
    }
  }
}

// sums [group][kKeyTile][kLanes] += weights of the panel's lanes; vector v belongs to head heads[v].
template <int kVecs, bool kMasked>
inline void addWeights(const KeyTile& tile, const Panel& panel, const KeyRange& keys, const int* heads, float* sums) {
  Vec::F high[kVecs], shift[kVecs], inverse[kVecs];
  for (int v = 0; v < kVecs; ++v) {
    high[v] = shift[v] = Vec::load(panel.max + v * Vec::kLanes);
    inverse[v] = Vec::load(panel.sum + v * Vec::kLanes);
  }
  scoreKeys<kVecs, kMasked>(tile, panel, keys.begin, keys.end, high);
  const bool oneHead = heads[0] == heads[kVecs - 1];
  for (int key = keys.begin; key < keys.end; ++key) {
    const float* scores = tile.scores + key * kVecs * Vec::kLanes;
    Vec::F weight[kVecs];
    for (int v = 0; v < kVecs; ++v) weight[v] = exp2NonPositive(Vec::sub(Vec::load(scores + v * Vec::kLanes), shift[v]));
    if (oneHead) {
      float* to = sums + (heads[0] * kKeyTile + key) * Vec::kLanes;
      Vec::F sum = Vec::load(to);
      for (int v = 0; v < kVecs; ++v) sum = Vec::fma(weight[v], inverse[v], sum);
      Vec::store(to, sum);
    } else {
      for (int v = 0; v < kVecs; ++v) {
        float* to = sums + (heads[v] * kKeyTile + key) * Vec::kLanes;
        Vec::store(to, Vec::fma(weight[v], inverse[v], Vec::load(to)));
      }
    }
  }
}

template <int kVecs>
inline void addWeightsOf(const KeyTile& tile, const Panel& panel, const int* heads, float* sums) {
  const KeyRange keys = visibleKeys(tile, panel);
  if (keys.begin == keys.end) return;
  if (keys.masked) addWeights<kVecs, true>(tile, panel, keys, heads, sums);
  else addWeights<kVecs, false>(tile, panel, keys, heads, sums);
}

void massWeights(const MassTask& task, int block) {
  const MassShape shape(task.rows, task.group);
  const MassState state(task.state, shape, task.kv.headDim, task.numBlocks);
  float* sums = reinterpret_cast<float*>(task.scratch) + kKeyTile * (tileStride(task.kv.headDim) + kPanelLanes);
  eachTile(task, block, [&](const KeyTile& tile, int count) {
    for (int i = 0; i < task.group * kKeyTile * Vec::kLanes; i += Vec::kLanes) Vec::store(sums + i, Vec::zero());
    for (int p = 0; p < shape.panels && !task.context->cancelled(); ++p) {
      Panel panel = state.panels[p];
      panel.max = state.max + static_cast<std::size_t>(p) * kPanelLanes;
      panel.sum = state.sum + static_cast<std::size_t>(p) * kPanelLanes;
      int heads[Vec::kTileVecs];
      const int past = dropPast(tile, panel);
      for (int v = 0; v < panel.vecs; ++v) heads[v] = (p * Vec::kTileVecs + past + v) / shape.headVecs;
      if (panel.vecs == 1) addWeightsOf<1>(tile, panel, heads, sums);
      else if (panel.vecs == 2) addWeightsOf<2>(tile, panel, heads, sums);
      else addWeightsOf<3>(tile, panel, heads, sums);
    }
    for (int head = 0; head < task.group; ++head) {
      float* mass = task.mass + static_cast<std::size_t>(head) * task.massStride + tile.start;
      for (int i = 0; i < count; ++i) mass[i] += Vec::sum(Vec::load(sums + (head * kKeyTile + i) * Vec::kLanes));
    }
  });
}

}  // namespace
}  // namespace kvasir::attention
