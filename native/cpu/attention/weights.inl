// Softmax weights over rows given by address, on any `Vec`: the scores of decode attention without its values.
#pragma once

#include "runs.inl"

namespace kvasir::attention {
namespace {

inline int weightsStride(int count) { return (count + kBlockTokens - 1) / kBlockTokens * kBlockTokens; }

// scores [group][stride]: those of kHeads heads from `head` on, -infinity after the last row of a vector.
template <class T, int kHeads, int kVecs>
void scoreHeads(const WeightsTask& task, const Group& group, int head, float* scores, int stride) {
  alignas(64) float block[kHeads * kBlockTokens];
  for (int start = 0; start < task.count; start += kBlockTokens) {
    const int left = task.count - start, count = left < kBlockTokens ? left : kBlockTokens;
    const std::uint8_t* const* keys = task.keys + start;
    for (int t = kBlockTokens; t < 2 * kBlockTokens && t < left; ++t) prefetchRow<T, kVecs>(keys[t], group);
    scoreBlock<T, kHeads, kVecs>(keys, count, 0, group, group.q + head * strideOf<kVecs>(group), block);
    for (int h = 0; h < kHeads; ++h) {
      float* to = scores + (head + h) * stride + start;
      for (int i = 0; i < count; i += Vec::kLanes) Vec::store(to + i, Vec::load(block + h * kBlockTokens + i));
    }
  }
}

template <class T, int kVecs>
void scoreGroup(const WeightsTask& task, const Group& group, float* scores, int stride) {
  int head = 0;
  for (; head + Vec::kRunHeads <= task.group; head += Vec::kRunHeads)
    scoreHeads<T, Vec::kRunHeads, kVecs>(task, group, head, scores, stride);
  if (Vec::kRunHeads > 3 && task.group - head == 3) scoreHeads<T, 3, kVecs>(task, group, head, scores, stride);
  if (task.group - head == 2) scoreHeads<T, 2, kVecs>(task, group, head, scores, stride);
  if (task.group - head == 1) scoreHeads<T, 1, kVecs>(task, group, head, scores, stride);
}

// out [count] = softmax of scores in units of log2.
inline void weighRow(float* scores, int count, float* out) {
  Vec::F highs = Vec::set(-__builtin_inff());
  for (int at = 0; at < count; at += Vec::kLanes) highs = Vec::max(highs, Vec::load(scores + at));
  const Vec::F shift = Vec::set(Vec::maxLane(highs));
  Vec::F sum = Vec::zero();
  for (int at = 0; at < count; at += Vec::kLanes) {
    const Vec::F weight = exp2NonPositive(Vec::sub(Vec::load(scores + at), shift));
    Vec::store(scores + at, weight);
    sum = Vec::add(sum, weight);
  }
  const Vec::F inverse = Vec::set(1.0f / Vec::sum(sum));
  int at = 0;
  for (; at + Vec::kLanes <= count; at += Vec::kLanes) Vec::store(out + at, Vec::mul(Vec::load(scores + at), inverse));
  if (at < count) Vec::storePart(out + at, Vec::mul(Vec::load(scores + at), inverse), count - at);
}

std::size_t weightsScratchBytes(int headDim, int group, int count) {
  const int stride = (headDim + Vec::kLanes - 1) / Vec::kLanes * Vec::kLanes;
  return static_cast<std::size_t>(group) * static_cast<std::size_t>(stride + weightsStride(count)) * sizeof(float);
}

void weights(const WeightsTask& task) {
  const int dimStride = (task.headDim + Vec::kLanes - 1) / Vec::kLanes * Vec::kLanes, stride = weightsStride(task.count);
  float* q = reinterpret_cast<float*>(task.scratch);
  float* scores = q + task.group * dimStride;
  const float scale = task.scale * 0x1.715476p+0f;  // log2(e)
  for (int h = 0; h < task.group; ++h) {
    for (int i = 0; i < dimStride; ++i)
      q[h * dimStride + i] = i < task.headDim ? task.q[h * task.headDim + i] * scale : 0.0f;
  }
  const Group group = {task.headDim, dimStride, q, nullptr, nullptr, nullptr};
  if (task.type == KvType::f32) scoreGroup<float, 0>(task, group, scores, stride);
  else if (task.headDim == 64) scoreGroup<std::uint16_t, 64 / Vec::kLanes>(task, group, scores, stride);
  else if (task.headDim == 128) scoreGroup<std::uint16_t, 128 / Vec::kLanes>(task, group, scores, stride);
  else scoreGroup<std::uint16_t, 0>(task, group, scores, stride);
  for (int h = 0; h < task.group; ++h) {
    weighRow(scores + h * stride, task.count, task.out + static_cast<std::size_t>(h) * static_cast<std::size_t>(task.count));
  }
}

}  // namespace
}  // namespace kvasir::attention
