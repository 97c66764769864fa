// Decode attention over rows given by address, on any `Vec`: all heads of a group share each row that is loaded.
//
// Blocks of up to kBlockTokens rows in the order of the list: scores of the block, one rescale, then its values. While
// keys are scored the block's V rows are prefetched, and while values are added the next block's K rows, line by line
// between the arithmetic, because a list of short runs gives the hardware nothing to predict.
#pragma once

#include "../simd/exp.inl"
#include "kernels.h"

namespace kvasir::attention {
namespace {

constexpr int kQuad = 4;                                               // rows scored together
constexpr int kSumTokens = Vec::kLanes < kQuad ? kQuad : Vec::kLanes;  // rows whose scores fill one vector
constexpr int kLineBytes = 64;

// One group's state, padded to whole vectors.
struct Group {
  int headDim;
  int stride;      // headDim rounded up to whole vectors
  const float* q;  // [group][stride], in units of log2, zero beyond headDim
  float* out;      // [group][stride]
  float* max;      // [group]
  float* sums;     // [group][kLanes]: lane sums, added up at the end
};

// kVecs vectors make a row where that is known and leaves no tail; 0: any headDim.
template <int kVecs>
inline int strideOf(const Group& group) {
  return kVecs > 0 ? kVecs * Vec::kLanes : group.stride;
}

template <class T, int kVecs>
inline int rowBytesOf(const Group& group) {
  return (kVecs > 0 ? kVecs * Vec::kLanes : group.headDim) * static_cast<int>(sizeof(T));
}

template <class T, int kVecs>
inline void prefetchRow(const std::uint8_t* row, const Group& group) {
  const int bytes = rowBytesOf<T, kVecs>(group);
  for (int line = 0; line < bytes; line += kLineBytes) Vec::prefetch(row + line);
}

// Rows of a block: its K and V rows and the next K rows have to stay in the first-level cache together.
template <class T, int kVecs>
inline int blockTokens(const Group& group) {
  const int bytes = rowBytesOf<T, kVecs>(group);
  return bytes <= 128 ? kBlockTokens : bytes <= 256 ? kBlockTokens / 2 : kBlockTokens / 4;
}

// Values [at, at + kLanes) of a row, zero beyond headDim.
template <class T, int kVecs>
inline Vec::F loadRow(const std::uint8_t* row, int at, const Group& group) {
  const T* from = reinterpret_cast<const T*>(row) + at;
  return kVecs > 0 || at + Vec::kLanes <= group.headDim ? Vec::load(from) : Vec::loadPart(from, group.headDim - at);
}

// scores [kHeads][kBlockTokens] of `count` rows, -infinity in the rest of the last vector.
template <class T, int kHeads, int kVecs>
inline void scoreBlock(const std::uint8_t* const* keys, int count, std::size_t valueStride, const Group& group,
                       const float* q, float* scores) {
  const int stride = strideOf<kVecs>(group);
  for (int first = 0; first < count; first += kSumTokens) {
    Vec::F quads[kHeads][kSumTokens / kQuad];
    for (int quad = 0; quad < kSumTokens / kQuad; ++quad) {
      const std::uint8_t* const* rows = keys + first + quad * kQuad;
      Vec::F acc[kQuad][kHeads];
      for (int t = 0; t < kQuad; ++t) {
        for (int h = 0; h < kHeads; ++h) acc[t][h] = Vec::zero();
      }
      for (int at = 0; at < stride; at += Vec::kLanes) {
        for (int t = 0; t < kQuad; ++t) {
          const Vec::F key = loadRow<T, kVecs>(rows[t], at, group);
          for (int h = 0; h < kHeads; ++h) acc[t][h] = Vec::fma(key, Vec::load(q + h * stride + at), acc[t][h]);
        }
      }
      for (int t = 0; t < kQuad; ++t) prefetchRow<T, kVecs>(rows[t] + valueStride, group);
      for (int h = 0; h < kHeads; ++h) quads[h][quad] = Vec::sumRows4(acc[0][h], acc[1][h], acc[2][h], acc[3][h]);
    }
    for (int h = 0; h < kHeads; ++h) Vec::store(scores + h * kBlockTokens + first, Vec::finishSums(quads[h]));
  }
  for (int i = count; i % kSumTokens != 0; ++i) {
    for (int h = 0; h < kHeads; ++h) scores[h * kBlockTokens + i] = -__builtin_inff();
  }
}

// Scores of one head to probabilities; returns, in each lane, the factor by which all that was added before shrinks.
inline Vec::F weighBlock(float* scores, int count, float& max, float* sums) {
  Vec::F highs = Vec::set(max);
  for (int at = 0; at < count; at += Vec::kLanes) highs = Vec::max(highs, Vec::load(scores + at));
  const float high = Vec::maxLane(highs);
  const Vec::F shift = Vec::set(high);
  const Vec::F fade = exp2NonPositive(Vec::sub(Vec::set(max), shift));
  Vec::F sum = Vec::mul(Vec::load(sums), fade);
  for (int at = 0; at < count; at += Vec::kLanes) {
    const Vec::F weight = exp2NonPositive(Vec::sub(Vec::load(scores + at), shift));
    Vec::store(scores + at, weight);
    sum = Vec::add(sum, weight);
  }
  Vec::store(sums, sum);
  max = high;
  return fade;
}

// out [kHeads] = out * fade + weights * V over `count` rows, for kChunk vectors of values from `at` on.
template <class T, int kHeads, int kVecs, int kChunk>
inline void addBlock(const std::uint8_t* const* keys, const std::uint8_t* const* next, int count,
                     std::size_t valueStride, const Group& group, int at, const float* weights,
                     const Vec::F (&fades)[kHeads], float* out) {
  Vec::F acc[kHeads][kChunk];
  for (int h = 0; h < kHeads; ++h) {
    for (int v = 0; v < kChunk; ++v) acc[h][v] = Vec::zero();
  }
  for (int t = 0; t < count; ++t) {
    const std::uint8_t* row = keys[t] + valueStride;
    if (at == 0) prefetchRow<T, kVecs>(next[t], group);
    Vec::F weight[kHeads];
    for (int h = 0; h < kHeads; ++h) weight[h] = Vec::set(weights[h * kBlockTokens + t]);
    for (int v = 0; v < kChunk; ++v) {
      const Vec::F value = loadRow<T, kVecs>(row, at + v * Vec::kLanes, group);
      for (int h = 0; h < kHeads; ++h) acc[h][v] = Vec::fma(weight[h], value, acc[h][v]);
    }
  }
  const int stride = strideOf<kVecs>(group);
  for (int h = 0; h < kHeads; ++h) {
    for (int v = 0; v < kChunk; ++v) {
      float* to = out + h * stride + at + v * Vec::kLanes;
      Vec::store(to, Vec::fma(Vec::load(to), fades[h], acc[h][v]));
    }
  }
}

template <class T, int kHeads, int kVecs>
void attendHeads(const RunsTask& task, const Group& group, int head) {
  constexpr int kChunk = 4;
  const int stride = strideOf<kVecs>(group);
  const float* q = group.q + head * stride;
  float* out = group.out + head * stride;
  alignas(64) float weights[kHeads * kBlockTokens];
  Vec::F fades[kHeads];
  const int block = blockTokens<T, kVecs>(group);
  for (int start = 0; start < task.count; start += block) {
    const int left = task.count - start, count = left < block ? left : block;
    const std::uint8_t* const* keys = task.keys + start;
    const std::uint8_t* const* next = left > block ? keys + block : keys;
    scoreBlock<T, kHeads, kVecs>(keys, count, task.valueStride, group, q, weights);
    for (int h = 0; h < kHeads; ++h) {
      fades[h] =
          weighBlock(weights + h * kBlockTokens, count, group.max[head + h], group.sums + (head + h) * Vec::kLanes);
    }
    int at = 0;
    for (; at + kChunk * Vec::kLanes <= stride; at += kChunk * Vec::kLanes) {
      addBlock<T, kHeads, kVecs, kChunk>(keys, next, count, task.valueStride, group, at, weights, fades, out);
    }
    for (; kVecs % kChunk == 0 && at < stride; at += Vec::kLanes) {
      addBlock<T, kHeads, kVecs, 1>(keys, next, count, task.valueStride, group, at, weights, fades, out);
    }
  }
}

template <class T, int kVecs>
void attendGroup(const RunsTask& task, const Group& group) {
  for (int t = 0; t < task.count && t < blockTokens<T, kVecs>(group); ++t) prefetchRow<T, kVecs>(task.keys[t], group);
  int head = 0;
  for (; head + Vec::kRunHeads <= task.group; head += Vec::kRunHeads)
    attendHeads<T, Vec::kRunHeads, kVecs>(task, group, head);
  if (Vec::kRunHeads > 3 && task.group - head == 3) attendHeads<T, 3, kVecs>(task, group, head);
  if (task.group - head == 2) attendHeads<T, 2, kVecs>(task, group, head);
  if (task.group - head == 1) attendHeads<T, 1, kVecs>(task, group, head);
}

std::size_t runsScratchBytes(int headDim, int group) {
  const int stride = (headDim + Vec::kLanes - 1) / Vec::kLanes * Vec::kLanes;
  return static_cast<std::size_t>(group) * static_cast<std::size_t>(2 * stride + Vec::kLanes) * sizeof(float);
}

void runs(const RunsTask& task) {
  const int stride = (task.headDim + Vec::kLanes - 1) / Vec::kLanes * Vec::kLanes;
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
  if (task.type == KvType::f32) attendGroup<float, 0>(task, group);
  else if (task.headDim == 64) attendGroup<std::uint16_t, 64 / Vec::kLanes>(task, group);
  else if (task.headDim == 128) attendGroup<std::uint16_t, 128 / Vec::kLanes>(task, group);
  else attendGroup<std::uint16_t, 0>(task, group);
  for (int h = 0; h < task.group; ++h) {
    task.sum[h] = Vec::sum(Vec::load(group.sums + h * Vec::kLanes));
    for (int i = 0; i < task.headDim; ++i) task.out[h * task.headDim + i] = out[h * stride + i];
  }
}

}  // namespace
}  // namespace kvasir::attention
