// The plain bodies: they read like the formulas and define what the others must give.
#include <cmath>
#include <cstring>

#include "kernels.h"
#include "layout.h"
#include "principal_encode.inl"

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

void principalBasis(const PrincipalEncodeTask& task) { makeBasis(task, loadRow); }

void principalEncode(const PrincipalEncodeTask& task) { encodePrincipal(task, loadRow); }

// A segment's mean and deviation as the index holds them.
struct Vectors {
  float mean[kMaxSelectHeadDim];
  float deviation[kMaxSelectHeadDim];  // in steps
  float step;
};

void loadVectors(const SegmentStats& segments, int n, Vectors& out) {
  const int dim = segments.headDim, bits = segments.vectorBits, segment = segments.list ? segments.list[n] : segments.first + n;
  const std::uint8_t* stats = segments.stats + static_cast<std::size_t>(segment) * statBytes(dim, bits);
  const std::uint8_t* deviations = stats + meanBytes(dim, bits);
  StatsTail tail;
  std::memcpy(&tail, deviations + deviationBytes(dim, bits), sizeof tail);
  out.step = halfToFloat(tail.deviationStep);
  for (int i = 0; i < dim; ++i) {
    if (bits == 16) {
      std::uint16_t half;
      std::memcpy(&half, stats + 2 * i, 2);
      out.mean[i] = halfToFloat(half);
      out.deviation[i] = static_cast<float>(deviations[i]);
    } else {
      out.mean[i] = static_cast<float>(static_cast<std::int8_t>(stats[i])) * halfToFloat(tail.meanStep);
      out.deviation[i] = static_cast<float>(kDeviations[deviations[i / 16 * 8 + i % 8] >> (i / 8 % 2 * 4) & 15]);
    }
  }
}

// Query head folded into a segment: score = base + slope * sum_i (step(code_i) - zero) * weights_i.
struct Folded {
  float base;
  float slope;
};

Folded fold(const ScanTask& task, const Vectors& segment, const float* q, std::int8_t* weights) {
  float base = 0.0f, largest = 0.0f;
  for (int i = 0; i < task.segments.headDim; ++i) {
    base += q[i] * segment.mean[i];
    largest = std::fmax(largest, std::fabs(q[i] * segment.deviation[i]));
  }
  const float inverse = largest > 1e-30f ? 127.0f / largest : 0.0f;
  for (int i = 0; i < task.segments.headDim; ++i) {
    weights[i] = static_cast<std::int8_t>(nearest(q[i] * segment.deviation[i] * inverse));
  }
  const float scale = task.queries.scale;
  return {scale * base, scale * codeScale(task.codeBits).unit * segment.step * (largest / 127.0f)};
}

void scan(const ScanTask& task) {
  const int row = rowBytes(task.codeBits), perByte = 8 / task.codeBits, mask = (1 << task.codeBits) - 1;
  const int dim = task.segments.headDim;
  const int paddedDim = codeUnits(dim) * kUnitChannels, zero = codeScale(task.codeBits).zero;
  std::int8_t weights[kMaxSelectHeadDim] = {};
  Vectors vectors;
  for (int n = 0; n < task.numBlocks; ++n) {
    const SegmentBlock& block = task.blocks[n];
    loadVectors(task.segments, block.segment - task.segments.first, vectors);
    for (int head = 0; head < task.queries.group; ++head) {
      const Folded folded = fold(task, vectors, task.queries.q + head * paddedDim, weights);
      for (int i = 0; i < block.count; ++i) {
        int sum = 0;
        for (int unit = 0; unit < codeUnits(dim); ++unit) {
          const std::uint8_t* codes = task.codes + static_cast<std::size_t>(unit) * task.planeBytes +
                                      static_cast<std::size_t>(block.token + i) * static_cast<std::size_t>(row);
          for (int b = 0; b < row; ++b) {
            for (int k = 0; k < perByte; ++k) {
              const int step = codeStep(task.codeBits, codes[b] >> (k * task.codeBits) & mask);
              sum += (step - zero) * weights[unit * kUnitChannels + b + k * row];
            }
          }
        }
        task.out[static_cast<std::size_t>(head) * task.outStride + static_cast<std::size_t>(block.out + i)] =
            folded.base + folded.slope * static_cast<float>(sum);
      }
    }
  }
}

// One query head of principalScan: score = scale * q.mean + slope * sum_n w_n (x_n - zero_n).
void principalScanHead(const PrincipalScanTask& task, const PrincipalLayout& layout, const float* q, float* out) {
  const int dim = task.headDim, row = layout.paddedChannels();
  float weights[kMaxSelectHeadDim];
  float most = 0.0f;
  for (int n = 0; n < layout.channels(); ++n) {
    weights[n] = 0.0f;
    for (int i = 0; i < dim; ++i) weights[n] += q[i] * halfToFloat(task.index.basis[i * row + n]);
    weights[n] *= task.index.steps[n];
    most = std::fmax(most, std::fabs(weights[n]));
  }
  const float inverse = most > 1e-30f ? 127.0f / most : 0.0f;
  for (int n = 0; n < layout.channels(); ++n) weights[n] = nearest(weights[n] * inverse);

  for (int b = 0; b < task.numBlocks; ++b) {
    const SegmentBlock& block = task.blocks[b];
    const std::uint8_t* codes =
        task.index.codes + static_cast<std::size_t>(block.token / kBlockTokens) * layout.blockBytes();
    for (int i = 0; i < block.count; ++i) {
      const int segment = block.segment + task.places[b * kBlockTokens + i];
      const std::uint8_t* group =
          task.index.means + static_cast<std::size_t>(segment / kMeanLanes) * meanGroupBytes(dim, task.vectorBits);
      float mean = 0.0f, sum = 0.0f;
      for (int d = 0; d < dim; ++d) {
        const int at = d * kMeanLanes + segment % kMeanLanes;
        mean += q[d] * (task.vectorBits == 16
                            ? halfToFloat(reinterpret_cast<const std::uint16_t*>(group)[at])
                            : static_cast<float>(reinterpret_cast<const std::int8_t*>(group)[at]) *
                                  halfToFloat(task.index.meanSteps[segment]));
      }
      for (int n = 0; n < layout.channels(); ++n) {
        const PrincipalLayout::Place place = layout.placeOf(n);
        const int bits = layout.bitsOf(n), code = codes[i * kWordBytes + static_cast<int>(place.byte)] >> place.shift & ((1 << bits) - 1);
        sum += weights[n] * (static_cast<float>(code) - principalZero(bits));
      }
      out[block.out + i] = task.queries.scale * mean + task.queries.scale * (most / 127.0f) * sum;
    }
  }
}

void principalScan(const PrincipalScanTask& task) {
  const PrincipalLayout layout(task.headDim, task.codeBits);
  const int paddedDim = codeUnits(task.headDim) * kUnitChannels;
  for (int head = 0; head < task.queries.group; ++head) {
    principalScanHead(task, layout, task.queries.q + head * paddedDim,
                      task.out + static_cast<std::size_t>(head) * task.outStride);
  }
}

void masses(const MassTask& task) {
  const int dim = task.segments.headDim, paddedDim = codeUnits(dim) * kUnitChannels;
  Vectors segment;
  for (int n = 0; n < task.segments.count; ++n) {
    loadVectors(task.segments, n, segment);
    for (int head = 0; head < task.queries.group; ++head) {
      const float* q = task.queries.q + head * paddedDim;
      float dot = 0.0f, squares = 0.0f;
      for (int i = 0; i < dim; ++i) {
        dot += q[i] * segment.mean[i];
        squares += q[i] * segment.deviation[i] * (q[i] * segment.deviation[i]);
      }
      task.out[static_cast<std::size_t>(head) * task.outStride + static_cast<std::size_t>(n)] =
          task.queries.scale * dot + task.varianceScale * segment.step * segment.step * squares;
    }
  }
}

void score(const ScoreTask& task) {
  const int paddedDim = codeUnits(task.keys.headDim) * kUnitChannels;
  float row[kMaxSelectHeadDim];
  for (int n = 0; n < task.count; ++n) {
    const std::uint8_t* key =
        task.rows ? task.rows[n] : keyRow(task.keys, task.tokens ? task.tokens[n] : task.first + n);
    loadRow(key, task.keys.type, task.keys.headDim, row);
    for (int head = 0; head < task.queries.group; ++head) {
      float dot = 0.0f;
      for (int i = 0; i < task.keys.headDim; ++i) dot += task.queries.q[head * paddedDim + i] * row[i];
      task.out[static_cast<std::size_t>(head) * task.outStride + static_cast<std::size_t>(n)] = dot * task.queries.scale;
    }
  }
}

float maximum(const float* x, int n) {
  float largest = -INFINITY;
  for (int i = 0; i < n; ++i) largest = std::fmax(largest, x[i]);
  return largest;
}

float powers(float* x, int n, float shift) {
  double sum = 0;
  for (int i = 0; i < n; ++i) {
    x[i] = std::exp2(x[i] - shift);
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
    out[i] = sum > 0.0f ? sum : 0.0f;
  }
}

void countKeys(const float* values, int n, const std::int32_t* probes, std::int32_t* counts) {
  for (int p = 0; p < kProbes; ++p) {
    counts[p] = 0;
    for (int i = 0; i < n; ++i) counts[p] += keyOf(values[i]) >= probes[p] ? 1 : 0;
  }
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

const Kernels scalarKernels = {encode, scan,    principalBasis, principalEncode, principalScan, masses,
                               score,  maximum, powers,         values,          countKeys,     findKeys};

}  // namespace kvasir::selection
