// The plain bodies: they read like the formulas and define what the others must give.
#include <cmath>
#include <cstring>

#include "encode.inl"
#include "kernels.h"
#include "layout.h"

namespace kvasir::selection {
namespace {

void loadRow(const std::uint8_t* row, KvType type, int dim, float* out) {
  if (type == KvType::f32) {
    std::memcpy(out, row, static_cast<std::size_t>(dim) * 4);
    return;
  }
  for (int i = 0; i < dim; ++i) {
    std::uint16_t half;
    std::memcpy(&half, row + 2 * i, 2);
    out[i] = halfToFloat(half);
  }
}

std::int32_t keyOf(float value) {
  std::int32_t key;
  std::memcpy(&key, &value, 4);
  return key;
}

void encode(const EncodeTask& task) { encodeSegment(task, loadRow); }

// Query head folded into a segment: score = base + slope * sum_i (step(code_i) - zero) * weights_i.
struct Folded {
  float base;
  float slope;
};

Folded fold(const ScanTask& task, const std::uint8_t* stats, const float* q, std::int8_t* weights) {
  const int padded = statDim(task.headDim);
  const std::uint8_t* bytes = stats + static_cast<std::size_t>(padded) * 2;
  float base = 0.0f, largest = 0.0f, step;
  std::memcpy(&step, bytes + padded, 4);
  for (int i = 0; i < task.headDim; ++i) {
    std::uint16_t half;
    std::memcpy(&half, stats + 2 * i, 2);
    base += q[i] * halfToFloat(half);
    largest = std::fmax(largest, std::fabs(q[i] * static_cast<float>(bytes[i])));
  }
  const float inverse = largest > 1e-30f ? 127.0f / largest : 0.0f;
  for (int i = 0; i < task.headDim; ++i) {
    weights[i] = static_cast<std::int8_t>(nearest(q[i] * static_cast<float>(bytes[i]) * inverse));
  }
  return {task.scale * base, task.scale * codeScale(task.codeBits).unit * step * (largest / 127.0f)};
}

void scan(const ScanTask& task) {
  const int row = rowBytes(task.codeBits), perByte = 8 / task.codeBits, mask = (1 << task.codeBits) - 1;
  const int paddedDim = codeUnits(task.headDim) * kUnitChannels, zero = codeScale(task.codeBits).zero;
  int segment = task.segment;
  for (int at = task.start; at < task.end; ++segment) {
    const int stop = task.ends[segment] < task.end ? task.ends[segment] : task.end;
    const std::uint8_t* stats = task.stats + static_cast<std::size_t>(segment) * statBytes(task.headDim);
    for (int head = 0; head < task.group; ++head) {
      std::int8_t* weights = task.weights + head * paddedDim;
      const Folded folded = fold(task, stats, task.q + head * paddedDim, weights);
      for (int token = at; token < stop; ++token) {
        int sum = 0;
        for (int unit = 0; unit < codeUnits(task.headDim); ++unit) {
          const std::uint8_t* codes = task.codes + static_cast<std::size_t>(unit) * task.planeBytes +
                                      static_cast<std::size_t>(token) * static_cast<std::size_t>(row);
          for (int b = 0; b < row; ++b) {
            for (int k = 0; k < perByte; ++k) {
              const int step = codeStep(task.codeBits, codes[b] >> (k * task.codeBits) & mask);
              sum += (step - zero) * weights[unit * kUnitChannels + b + k * row];
            }
          }
        }
        task.out[static_cast<std::size_t>(head) * task.outStride + static_cast<std::size_t>(token - task.start)] =
            folded.base + folded.slope * static_cast<float>(sum);
      }
    }
    at = stop;
  }
}

void score(const ScoreTask& task) {
  const int paddedDim = codeUnits(task.keys.headDim) * kUnitChannels;
  float row[kMaxSelectHeadDim];
  for (int n = 0; n < task.count; ++n) {
    const std::uint8_t* key =
        task.rows ? task.rows[n] : keyRow(task.keys, task.tokens ? task.tokens[n] : task.first + n);
    loadRow(key, task.keys.type, task.keys.headDim, row);
    for (int head = 0; head < task.group; ++head) {
      float dot = 0.0f;
      for (int i = 0; i < task.keys.headDim; ++i) dot += task.q[head * paddedDim + i] * row[i];
      task.out[static_cast<std::size_t>(head) * task.outStride + static_cast<std::size_t>(n)] = dot * task.scale;
    }
  }
}

float maximum(const float* x, int n) {
  float largest = -INFINITY;
  for (int i = 0; i < n; ++i) largest = std::fmax(largest, x[i]);
  return largest;
}

float exponentials(float* x, int n, float shift) {
  double sum = 0;
  for (int i = 0; i < n; ++i) {
    x[i] = std::exp(x[i] - shift);
    sum += static_cast<double>(x[i]);
  }
  return static_cast<float>(sum);
}

void values(const float* x, std::size_t stride, int group, const float* factors, std::size_t factorStride, int n,
            float* out) {
  for (int i = 0; i < n; ++i) {
    float sum = 0.0f;
    for (int head = 0; head < group; ++head) {
      const std::size_t row = static_cast<std::size_t>(head);
      sum += factors[row * factorStride] * x[row * stride + static_cast<std::size_t>(i)];
    }
    out[i] = sum;
  }
}

void histogram(const float* values, int n, std::uint32_t* counts) {
  for (int i = 0; i < n; ++i) ++counts[bucketOf(keyOf(values[i]))];
}

int findKeys(const float* values, int n, std::int32_t low, std::int32_t high, std::int32_t* positions) {
  int found = 0;
  for (int i = 0; i < n; ++i) {
    const std::int32_t key = keyOf(values[i]);
    if (key >= low && key <= high) positions[found++] = i;
  }
  return found;
}

}  // namespace

const Kernels scalarKernels = {encode, scan, score, maximum, exponentials, values, histogram, findKeys};

}  // namespace kvasir::selection
