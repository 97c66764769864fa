// The plain bodies: what the vector bodies are tested against, and what machines without them run.
#include <algorithm>
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
    const Head head = {task.q + at, task.scale, task.out + at, task.max + lane, task.sum + lane};
    open(head, kv.headDim);
    const int last = task.index(lane / task.group);
    const int first = task.windowTokens > 0 && last >= task.windowTokens ? last - task.windowTokens + 1 : 0;
    for (int index = first; index <= last; ++index) add(head, kv.key(index), kv.valueStride, kv.type, kv.headDim);
    for (int i = 0; i < kv.headDim; ++i) head.out[i] /= *head.sum;
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

struct MassLane {
  float max;  // over all keys, once closeMass has run
  float sum;
};

MassLane* massLanes(const MassTask& task, int block) {
  return reinterpret_cast<MassLane*>(task.state) + static_cast<std::size_t>(block) * task.rows * task.group;
}

std::size_t massStateBytes(int, int rows, int group, int numBlocks) {
  return static_cast<std::size_t>(numBlocks) * rows * group * sizeof(MassLane);
}

void openMass(const MassTask& task) {
  if (task.lse == nullptr) return;
  for (int lane = 0; lane < task.rows * task.group; ++lane) {
    const float lse = task.lse[(lane % task.rows) * task.lseStride + static_cast<std::size_t>(lane / task.rows)];
    massLanes(task, 0)[lane] = {lse * 0x1.715476p+0f, 1.0f};
  }
}

// body(score, key) for the keys of a block that a lane sees, lane = head * rows + row.
template <class Body>
void eachScore(const MassTask& task, int block, int lane, Body body) {
  const HeadRows& kv = task.kv;
  const int last = task.index(lane % task.rows), begin = task.firstKey + block * task.blockKeys;
  const int first = task.windowTokens > 0 ? std::max(begin, last - task.windowTokens + 1) : begin;
  const float* q = task.q + (lane % task.rows) * task.rowStride + static_cast<std::size_t>((lane / task.rows) * kv.headDim);
  for (int index = first; index < begin + task.blockKeys && index <= last; ++index) {
    body(score(q, kv.key(index), kv.type, kv.headDim, task.scale), index);
  }
}

void massStats(const MassTask& task, int block) {
  MassLane* lanes = massLanes(task, block);
  for (int lane = 0; lane < task.rows * task.group && !task.context->cancelled(); ++lane) {
    MassLane& own = lanes[lane] = {-INFINITY, 0.0f};
    eachScore(task, block, lane, [&](float s, int) { own.max = std::fmax(own.max, s); });
    eachScore(task, block, lane, [&](float s, int) { own.sum += std::exp2(s - own.max); });
  }
}

void closeMass(const MassTask& task) {
  for (int lane = 0; lane < task.rows * task.group; ++lane) {
    MassLane all = {-INFINITY, 0.0f};
    for (int block = 0; block < task.numBlocks; ++block) all.max = std::fmax(all.max, massLanes(task, block)[lane].max);
    for (int block = 0; block < task.numBlocks; ++block) {
      const MassLane& part = massLanes(task, block)[lane];
      all.sum += part.sum * std::exp2(part.max - all.max);
    }
    massLanes(task, 0)[lane] = all;
  }
}

void massWeights(const MassTask& task, int block) {
  const MassLane* lanes = massLanes(task, 0);
  for (int lane = 0; lane < task.rows * task.group && !task.context->cancelled(); ++lane) {
    float* mass = task.mass + static_cast<std::size_t>(lane / task.rows) * task.massStride;
    eachScore(task, block, lane, [&](float s, int key) { mass[key] += std::exp2(s - lanes[lane].max) / lanes[lane].sum; });
  }
}

std::size_t massScratchBytes(int, int) { return 0; }

void storeHalf(const float* in, int count, std::uint16_t* out) {
  for (int i = 0; i < count; ++i) out[i] = floatToHalf(in[i]);
}

}  // namespace

const Kernels kernelsScalar = {prefillScratchBytes, prefill, runsScratchBytes, runs, weightsScratchBytes, weights,
                               {massStateBytes, openMass, massStats, closeMass, massWeights, massScratchBytes},
                               storeHalf};

}  // namespace kvasir::attention
