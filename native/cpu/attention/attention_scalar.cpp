// The plain bodies: what the vector bodies are tested against, and what machines without them run.
#include <cmath>

#include "../simd/half.h"
#include "kernels.h"

namespace kvasir::attention {
namespace {

float value(const std::uint8_t* row, KvType type, int i) {
  return type == KvType::f16 ? halfToFloat(reinterpret_cast<const std::uint16_t*>(row)[i])
                             : reinterpret_cast<const float*>(row)[i];
}

// In units of log2.
float score(const float* q, const std::uint8_t* key, KvType type, int headDim, float scale) {
  float dot = 0.0f;
  for (int i = 0; i < headDim; ++i) dot += q[i] * value(key, type, i);
  return dot * scale * 0x1.715476p+0f;  // log2(e)
}

// One query head's online softmax: out = sum of 2^(s - max) v, sum = sum of 2^(s - max), s in log2 units.
struct Head {
  const float* q;
  float scale;
  float* out;
  float* max;
  float* sum;
};

void open(const Head& head, int headDim) {
  *head.max = -INFINITY;
  *head.sum = 0.0f;
  for (int i = 0; i < headDim; ++i) head.out[i] = 0.0f;
}

void add(const Head& head, const std::uint8_t* key, std::size_t valueStride, KvType type, int headDim) {
  const float s = score(head.q, key, type, headDim, head.scale);
  const float high = std::fmax(*head.max, s);
  const float fade = std::exp2(*head.max - high), weight = std::exp2(s - high);
  for (int i = 0; i < headDim; ++i) head.out[i] = head.out[i] * fade + weight * value(key + valueStride, type, i);
  *head.sum = *head.sum * fade + weight;
  *head.max = high;
}

std::size_t prefillScratchBytes(int, int, int) { return 0; }

void prefill(const PrefillTask& task) {
  const HeadRows& kv = task.kv;
  for (int lane = 0; lane < task.rows * task.group; ++lane) {
    if (task.context->cancelled()) return;
    const std::size_t at =
        (lane / task.group) * task.rowStride + static_cast<std::size_t>((lane % task.group) * kv.headDim);
    float max, sum;
    const Head head = {task.q + at, task.scale, task.out + at, &max, &sum};
    open(head, kv.headDim);
    const int last = task.position + lane / task.group;
    const int first = task.windowTokens > 0 && last >= task.windowTokens ? last - task.windowTokens + 1 : 0;
    for (int index = first; index <= last; ++index) add(head, kv.key(index), kv.valueStride, kv.type, kv.headDim);
    for (int i = 0; i < kv.headDim; ++i) head.out[i] /= sum;
  }
}

std::size_t runsScratchBytes(int, int) { return 0; }

void runs(const RunsTask& task) {
  for (int h = 0; h < task.group; ++h) {
    const Head head = {task.q + h * task.headDim, task.scale, task.out + h * task.headDim, task.max + h, task.sum + h};
    open(head, task.headDim);
    for (int t = 0; t < task.count; ++t) add(head, task.keys[t], task.valueStride, task.type, task.headDim);
  }
}

std::size_t weightsScratchBytes(int, int, int) { return 0; }

void weights(const WeightsTask& task) {
  for (int h = 0; h < task.group; ++h) {
    const float* q = task.q + h * task.headDim;
    float* out = task.out + static_cast<std::size_t>(h) * static_cast<std::size_t>(task.count);
    float max = -INFINITY, sum = 0.0f;
    for (int t = 0; t < task.count; ++t) {
      out[t] = score(q, task.keys[t], task.type, task.headDim, task.scale);
      max = std::fmax(max, out[t]);
    }
    for (int t = 0; t < task.count; ++t) sum += out[t] = std::exp2(out[t] - max);
    for (int t = 0; t < task.count; ++t) out[t] /= sum;
  }
}

void storeHalf(const float* in, int count, std::uint16_t* out) {
  for (int i = 0; i < count; ++i) out[i] = floatToHalf(in[i]);
}

}  // namespace

const Kernels kernelsScalar = {prefillScratchBytes, prefill, runsScratchBytes, runs, weightsScratchBytes, weights, storeHalf};

}  // namespace kvasir::attention
