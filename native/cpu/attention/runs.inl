// Decode attention over rows given by address, on any `Vec`: all heads of a group share each row that is loaded.
//
// Tiles of kTileTokens rows in the order of the list; one rescale a tile. Rows of the next tile are prefetched line
// by line between the arithmetic of this one, because a list of short runs gives the hardware nothing to predict.
#pragma once

#include "../simd/exp.inl"
#include "kernels.h"

namespace kvasir::attention {
namespace {

constexpr int kQuad = 4;         // rows scored together
constexpr int kMostHeads = 4;    // heads that share a pass over a tile
constexpr int kLineBytes = 64;

// One group's state, padded to whole vectors.
struct Group {
  int headDim;
  int stride;       // headDim rounded up to whole vectors
  const float* q;   // [group][stride], in units of log2, zero beyond headDim
  float* out;       // [group][stride]
  float* max;       // [group]
  float* sums;      // [group][kLanes]: lane sums, added up at the end
};

inline int wholeVectors(int headDim) { return (headDim + Vec::kLanes - 1) / Vec::kLanes * Vec::kLanes; }

inline void prefetchRow(const std::uint8_t* row, int bytes) {
  for (int line = 0; line < bytes; line += kLineBytes) Vec::prefetch(row + line);
}

// Values [at, at + kLanes) of a row, zero beyond headDim.
template <class T>
inline Vec::F loadRow(const std::uint8_t* row, int at, int headDim) {
  const T* from = reinterpret_cast<const T*>(row) + at;
  return at + Vec::kLanes <= headDim ? Vec::load(from) : Vec::loadPart(from, headDim - at);
}

// scores [kHeads][kTileTokens]; prefetches `next`, the K rows of the next tile.
template <class T, int kHeads>
inline void scoreTile(const std::uint8_t* const* keys, const std::uint8_t* const* next, const Group& group, const float* q,
                      float* scores) {
  constexpr int kQuads = kTileTokens / kQuad;
  const int rowBytes = group.headDim * static_cast<int>(sizeof(T));
  Vec::F quads[kHeads][kQuads];
  for (int quad = 0; quad < kQuads; ++quad) {
    const std::uint8_t* const* rows = keys + quad * kQuad;
    Vec::F acc[kQuad][kHeads];
    for (int t = 0; t < kQuad; ++t) {
      for (int h = 0; h < kHeads; ++h) acc[t][h] = Vec::zero();
    }
    for (int at = 0; at < group.stride; at += Vec::kLanes) {
      Vec::F key[kQuad];
      for (int t = 0; t < kQuad; ++t) key[t] = loadRow<T>(rows[t], at, group.headDim);
      for (int h = 0; h < kHeads; ++h) {
        const Vec::F query = Vec::load(q + h * group.stride + at);
        for (int t = 0; t < kQuad; ++t) acc[t][h] = Vec::fma(key[t], query, acc[t][h]);
      }
    }
    for (int t = 0; t < kQuad; ++t) prefetchRow(next[quad * kQuad + t], rowBytes);
    for (int h = 0; h < kHeads; ++h) quads[h][quad] = Vec::sumRows4(acc[0][h], acc[1][h], acc[2][h], acc[3][h]);
  }
  for (int h = 0; h < kHeads; ++h) {
    for (int at = 0; at < kTileTokens; at += Vec::kLanes) {
      Vec::store(scores + h * kTileTokens + at, Vec::finishSums(quads[h] + at / kQuad));
    }
  }
}

// Scores of one head to probabilities; returns the factor by which all that was added before shrinks.
inline float weighTile(float* scores, int count, float& max, float* sums) {
  float high = max;
  for (int i = count; i < kTileTokens; ++i) scores[i] = -__builtin_inff();
  for (int at = 0; at < kTileTokens; at += Vec::kLanes) {
    const float tile = Vec::maxLane(Vec::load(scores + at));
    high = tile > high ? tile : high;
  }
  alignas(64) float fades[Vec::kLanes];
  const Vec::F fade = exp2NonPositive(Vec::sub(Vec::set(max), Vec::set(high)));
  Vec::store(fades, fade);
  Vec::F sum = Vec::mul(Vec::load(sums), fade);
  for (int at = 0; at < kTileTokens; at += Vec::kLanes) {
    const Vec::F weight = exp2NonPositive(Vec::sub(Vec::load(scores + at), Vec::set(high)));
    Vec::store(scores + at, weight);
    sum = Vec::add(sum, weight);
  }
  Vec::store(sums, sum);
  max = high;
  return fades[0];
}

// out [kHeads] = out * fade + weights * V for kVecs vectors of values from `at` on; `count` rows only.
template <class T, int kHeads, int kVecs>
inline void addTile(const std::uint8_t* const* keys, const std::uint8_t* const* next, int count, std::size_t valueStride,
                    const Group& group, int at, const float* weights, const float* fades, float* out) {
  const int rowBytes = group.headDim * static_cast<int>(sizeof(T));
  Vec::F acc[kHeads][kVecs];
  for (int h = 0; h < kHeads; ++h) {
    for (int v = 0; v < kVecs; ++v) acc[h][v] = Vec::zero();
  }
  for (int t = 0; t < count; ++t) {
    const std::uint8_t* row = keys[t] + valueStride;
    Vec::F value[kVecs];
    for (int v = 0; v < kVecs; ++v) value[v] = loadRow<T>(row, at + v * Vec::kLanes, group.headDim);
    if (at == 0) prefetchRow(next[t] + valueStride, rowBytes);
    for (int h = 0; h < kHeads; ++h) {
      const Vec::F weight = Vec::set(weights[h * kTileTokens + t]);
      for (int v = 0; v < kVecs; ++v) acc[h][v] = Vec::fma(weight, value[v], acc[h][v]);
    }
  }
  for (int h = 0; h < kHeads; ++h) {
    for (int v = 0; v < kVecs; ++v) {
      float* to = out + h * group.stride + at + v * Vec::kLanes;
      Vec::store(to, Vec::fma(Vec::load(to), Vec::set(fades[h]), acc[h][v]));
    }
  }
}

template <class T, int kHeads>
inline void attendHeads(const RunsTask& task, const Group& group, int head) {
  float* out = group.out + head * group.stride;
  alignas(64) float weights[kHeads * kTileTokens];
  float fades[kHeads];
  for (int start = 0; start < task.count; start += kTileTokens) {
    const std::uint8_t* const* keys = task.keys + start;
    const std::uint8_t* const* next = keys + kTileTokens;
    const int count = task.count - start < kTileTokens ? task.count - start : kTileTokens;
    scoreTile<T, kHeads>(keys, next, group, group.q + head * group.stride, weights);
    for (int h = 0; h < kHeads; ++h) {
      fades[h] = weighTile(weights + h * kTileTokens, count, group.max[head + h], group.sums + (head + h) * Vec::kLanes);
    }
    int at = 0;
    for (; at + 4 * Vec::kLanes <= group.stride; at += 4 * Vec::kLanes) {
      addTile<T, kHeads, 4>(keys, next, count, task.valueStride, group, at, weights, fades, out);
    }
    for (; at < group.stride; at += Vec::kLanes) {
      addTile<T, kHeads, 1>(keys, next, count, task.valueStride, group, at, weights, fades, out);
    }
  }
}

template <class T>
inline void attendGroup(const RunsTask& task, const Group& group) {
  int head = 0;
  for (; head + kMostHeads <= task.group; head += kMostHeads) attendHeads<T, kMostHeads>(task, group, head);
  if (task.group - head == 3) attendHeads<T, 3>(task, group, head);
  if (task.group - head == 2) attendHeads<T, 2>(task, group, head);
  if (task.group - head == 1) attendHeads<T, 1>(task, group, head);
}

std::size_t runsScratchBytes(int headDim, int group) {
  return static_cast<std::size_t>(group) * static_cast<std::size_t>(2 * wholeVectors(headDim) + Vec::kLanes) * sizeof(float);
}

void runs(const RunsTask& task) {
  const int stride = wholeVectors(task.headDim);
  float* q = reinterpret_cast<float*>(task.scratch);
  float* out = q + task.group * stride;
  const Group group = {task.headDim, stride, q, out, task.max, out + task.group * stride};
  const float scale = task.scale * 0x1.715476p+0f;  // log2(e)
  for (int h = 0; h < task.group; ++h) {
    for (int i = 0; i < stride; ++i) {
      q[h * stride + i] = i < task.headDim ? task.q[h * task.headDim + i] * scale : 0.0f;
      out[h * stride + i] = 0.0f;
    }
    task.max[h] = -__builtin_inff();
    Vec::store(group.sums + h * Vec::kLanes, Vec::zero());
  }
  if (task.type == KvType::f16) attendGroup<std::uint16_t>(task, group);
  else attendGroup<float>(task, group);
  for (int h = 0; h < task.group; ++h) {
    task.sum[h] = Vec::sum(Vec::load(group.sums + h * Vec::kLanes));
    for (int i = 0; i < task.headDim; ++i) task.out[h * task.headDim + i] = out[h * stride + i];
  }
}

}  // namespace
}  // namespace kvasir::attention
