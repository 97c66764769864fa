// Basis, means, radii and codes of an index with basis principal, on any row loader. As in encode.inl: plain loops, each
// lane by itself and without contraction, the same bits everywhere.
#pragma once

#include <cmath>

#include "encode.inl"
#include "principal_layout.h"

namespace kvasir::selection {
namespace {

// Where a task keeps what it works on, in its `work`.
struct PrincipalWork {
  double* covariance;  // [headDim][headDim]
  double* directions;  // [headDim][headDim]
  float* byDim;        // [headDim][paddedChannels] the basis
  float* byChannel;    // [paddedChannels][paddedDim]
  float* row;          // [paddedDim] each from here on
  float* mean;
  float* estimate;
  float* along;  // [paddedChannels]
};

inline int paddedTo16(int n) { return (n + 15) / 16 * 16; }

inline PrincipalWork workOf(std::byte* at, int headDim) {
  const std::size_t dim = static_cast<std::size_t>(headDim), padded = static_cast<std::size_t>(paddedTo16(headDim));
  PrincipalWork work;
  // The basis is made before it is used: both kinds of work share the memory.
  work.covariance = reinterpret_cast<double*>(at);
  work.directions = work.covariance + dim * dim;
  work.byDim = reinterpret_cast<float*>(at);
  work.byChannel = work.byDim + padded * padded;
  float* rows = reinterpret_cast<float*>(at + 2 * padded * padded * sizeof(double));
  work.row = rows;
  work.mean = rows + padded;
  work.estimate = rows + 2 * padded;
  work.along = rows + 3 * padded;
  return work;
}

// Rows of a segment minus its mean as the index holds it.
template <class LoadRow>
struct SegmentRows {
  const PrincipalEncodeTask& task;
  LoadRow loadRow;
  const PrincipalWork& work;

  int start(int segment) const { return segment == 0 ? 0 : task.ends[segment - 1]; }
  void load(int token) const { loadRow(keyRow(task.keys, token), task.keys.type, task.keys.headDim, work.row); }

  // Makes the mean and writes it where the index has it.
  void storeMean(int segment) const {
    const int dim = task.keys.headDim;
    float* mean = work.mean;
    for (int i = 0; i < dim; ++i) mean[i] = 0.0f;
    for (int token = start(segment); token < task.ends[segment]; ++token) {
      load(token);
      for (int i = 0; i < dim; ++i) mean[i] += work.row[i];
    }
    const float count = static_cast<float>(task.ends[segment] - start(segment));
    float farthest = 0.0f;
    for (int i = 0; i < dim; ++i) {
      mean[i] /= count;
      farthest = __builtin_fabsf(mean[i]) > farthest ? __builtin_fabsf(mean[i]) : farthest;
    }
    const std::uint16_t half = task.vectorBits == 8 && farthest > 0.0f ? halfAbove(farthest / 127.0f) : 0;
    const float step = halfToFloat(half);
    task.meanSteps[segment] = half;
    std::uint8_t* group = task.means + static_cast<std::size_t>(segment / kMeanLanes) * meanGroupBytes(dim, task.vectorBits);
    for (int i = 0; i < dim; ++i) {
      const int at = i * kMeanLanes + segment % kMeanLanes;
      if (task.vectorBits == 16) {
        const std::uint16_t stored = floatToHalf(mean[i]);
        reinterpret_cast<std::uint16_t*>(group)[at] = stored;
        mean[i] = halfToFloat(stored);
      } else {
        const float whole = step > 0.0f ? nearest(mean[i] / step) : 0.0f;
        reinterpret_cast<std::int8_t*>(group)[at] = static_cast<std::int8_t>(whole);
        mean[i] = whole * step;
      }
    }
  }

  void loadResidual(int token) const {
    load(token);
    for (int i = 0; i < task.keys.headDim; ++i) work.row[i] -= work.mean[i];
  }
};

// One cyclic Jacobi sweep: rows of `directions` become nearly the eigenvectors of the covariance, its diagonal their
// variances. Orthonormal after any number of rotations, and further sweeps gain nothing (docs/decisions).
inline void jacobiSweep(double* a, double* v, int dim) {
  const auto rotate = [dim](double* x, double* y, double c, double s) {
    for (int k = 0; k < dim; ++k) {
      const double from = x[k], to = y[k];
      x[k] = c * from - s * to;
      y[k] = s * from + c * to;
    }
  };
  for (int p = 0; p + 1 < dim; ++p) {
    for (int q = p + 1; q < dim; ++q) {
      double* rowP = a + static_cast<std::size_t>(p * dim);
      double* rowQ = a + static_cast<std::size_t>(q * dim);
      const double apq = rowP[q];
      if (apq == 0.0) continue;
      const double theta = (rowQ[q] - rowP[p]) / (2.0 * apq);
      const double t = (theta >= 0.0 ? 1.0 : -1.0) / (std::fabs(theta) + std::sqrt(theta * theta + 1.0));
      const double c = 1.0 / std::sqrt(t * t + 1.0), s = t * c;
      rotate(rowP, rowQ, c, s);
      rotate(v + static_cast<std::size_t>(p * dim), v + static_cast<std::size_t>(q * dim), c, s);
      // Columns mirror the rows, but for the four that lie in both.
      const double pp = rowP[p], pq = rowP[q], qp = rowQ[p], qq = rowQ[q];
      for (int k = 0; k < dim; ++k) {
        a[static_cast<std::size_t>(k * dim + p)] = rowP[k];
        a[static_cast<std::size_t>(k * dim + q)] = rowQ[k];
      }
      rowP[p] = c * pp - s * pq;
      rowP[q] = s * pp + c * pq;
      rowQ[p] = rowP[q];
      rowQ[q] = s * qp + c * qq;
    }
  }
}

template <class LoadRow>
void makeBasis(const PrincipalEncodeTask& task, LoadRow loadRow) {
  const int dim = task.keys.headDim;
  const PrincipalLayout layout(dim, task.codeBits);
  const PrincipalWork work = workOf(task.work, dim);
  const SegmentRows<LoadRow> rows = {task, loadRow, work};
  double* a = work.covariance;
  double* v = work.directions;
  for (int i = 0; i < dim * dim; ++i) a[i] = v[i] = 0.0;
  for (int i = 0; i < dim; ++i) v[static_cast<std::size_t>(i * dim + i)] = 1.0;

  int tokens = 0;
  for (int segment = 0; tokens < kBasisTokens; ++segment) {
    rows.storeMean(segment);
    for (; tokens < task.ends[segment]; ++tokens) {
      rows.loadResidual(tokens);
      for (int i = 0; i < dim; ++i) {
        const double x = static_cast<double>(work.row[i]);
        for (int j = i; j < dim; ++j) a[static_cast<std::size_t>(i * dim + j)] += x * static_cast<double>(work.row[j]);
      }
    }
  }
  for (int i = 0; i < dim; ++i) {
    for (int j = i; j < dim; ++j) {
      a[static_cast<std::size_t>(i * dim + j)] /= static_cast<double>(tokens);
      a[static_cast<std::size_t>(j * dim + i)] = a[static_cast<std::size_t>(i * dim + j)];
    }
  }
  jacobiSweep(a, v, dim);

  int order[kMaxSelectHeadDim];
  const auto variance = [&](int c) { return a[static_cast<std::size_t>(c * dim + c)]; };
  for (int c = 0; c < dim; ++c) {
    int at = c;
    for (; at > 0 && variance(order[at - 1]) < variance(c); --at) order[at] = order[at - 1];
    order[at] = c;
  }
  for (int n = 0; n < layout.paddedChannels(); ++n) {
    const bool coded = n < layout.channels();
    const double spread = coded ? std::sqrt(variance(order[n]) > 0.0 ? variance(order[n]) : 0.0) : 0.0;
    task.steps[n] = coded ? static_cast<float>(spread * principalUnit(layout.bitsOf(n))) : 0.0f;
    task.zeros[n] = coded ? principalZero(layout.bitsOf(n)) : 0.0f;
    for (int i = 0; i < dim; ++i) {
      const float x = coded ? static_cast<float>(v[static_cast<std::size_t>(order[n] * dim + i)]) : 0.0f;
      task.basis[i * layout.paddedChannels() + n] = floatToHalf(x);
    }
  }
}

// out[k] = sum over i < n, ascending, of x[i] * rows[i][k], for `width` lanes, a multiple of 16.
inline void weightedRows(const float* x, int n, const float* rows, int width, float* out) {
  constexpr int kAtOnce = 64;
  int from = 0;
  for (; from + kAtOnce <= width; from += kAtOnce) {
    float sums[kAtOnce] = {};
    for (int i = 0; i < n; ++i) {
      const float* row = rows + i * width + from;
      for (int k = 0; k < kAtOnce; ++k) sums[k] += x[i] * row[k];
    }
    for (int k = 0; k < kAtOnce; ++k) out[from + k] = sums[k];
  }
  for (; from < width; from += 16) {
    float sums[16] = {};
    for (int i = 0; i < n; ++i) {
      const float* row = rows + i * width + from;
      for (int k = 0; k < 16; ++k) sums[k] += x[i] * row[k];
    }
    for (int k = 0; k < 16; ++k) out[from + k] = sums[k];
  }
}

// What codes are made with, by channel.
struct ChannelCodes {
  float divisor[kMaxSelectHeadDim];  // the step; 1 where it is 0 and the code means nothing
  float half[kMaxSelectHeadDim];
  float most[kMaxSelectHeadDim];
  std::int32_t byte[kMaxSelectHeadDim];
  std::int32_t shift[kMaxSelectHeadDim];

  ChannelCodes(const PrincipalLayout& layout, const float* steps) {
    for (int n = 0; n < layout.channels(); ++n) {
      const int bits = layout.bitsOf(n);
      const PrincipalLayout::Place place = layout.placeOf(n);
      divisor[n] = steps[n] > 0.0f ? steps[n] : 1.0f;
      half[n] = static_cast<float>(1 << (bits - 1));
      most[n] = static_cast<float>((1 << bits) - 1);
      byte[n] = static_cast<std::int32_t>(place.byte);
      shift[n] = place.shift;
    }
  }
};

// Codes of what a residual measures along the channels, which becomes what the codes stand for. Written so that
// compilers vectorise it: no branch, no call.
inline void codesAlong(const ChannelCodes& made, const float* __restrict steps, const float* __restrict zeros, int channels,
                       float* __restrict along, std::int32_t* __restrict codes) {
  for (int n = 0; n < channels; ++n) {
    const float at = along[n] / made.divisor[n];
    // Beyond the outermost codes anyway, and within the range of whole numbers.
    float bounded = at < -64.0f ? -64.0f : at;
    bounded = bounded > 64.0f ? 64.0f : bounded;
    const std::int32_t whole = static_cast<std::int32_t>(bounded);
    const std::int32_t down = whole - (static_cast<float>(whole) > bounded ? 1 : 0);
    float code = static_cast<float>(down) + made.half[n];
    code = code < 0.0f ? 0.0f : code;
    code = code > made.most[n] ? made.most[n] : code;
    along[n] = (code - zeros[n]) * steps[n];
    codes[n] = static_cast<std::int32_t>(code);
  }
}

template <class LoadRow>
void encodePrincipal(const PrincipalEncodeTask& task, LoadRow loadRow) {
  const int dim = task.keys.headDim, padded = paddedTo16(dim);
  const PrincipalLayout layout(dim, task.codeBits);
  const int channels = layout.channels(), row = layout.paddedChannels();
  const PrincipalWork work = workOf(task.work, dim);
  const SegmentRows<LoadRow> rows = {task, loadRow, work};
  const ChannelCodes made(layout, task.steps);
  std::int32_t codes[kMaxSelectHeadDim];
  for (int n = 0; n < row; ++n) {
    for (int i = 0; i < padded; ++i) {
      const float x = i < dim ? halfToFloat(task.basis[i * row + n]) : 0.0f;
      work.byChannel[n * padded + i] = x;
      if (i < dim) work.byDim[i * row + n] = x;
    }
  }
  for (int i = dim; i < padded; ++i) work.row[i] = 0.0f;
  for (int segment = task.first; segment < task.end; ++segment) {
    rows.storeMean(segment);
    float radius = 0.0f;
    for (int token = rows.start(segment); token < task.ends[segment]; ++token) {
      rows.loadResidual(token);
      weightedRows(work.row, dim, work.byDim, row, work.along);
      codesAlong(made, task.steps, task.zeros, channels, work.along, codes);
      std::uint8_t* bytes = task.codes + static_cast<std::size_t>(token / kBlockTokens) * layout.blockBytes() +
                            static_cast<std::size_t>(token % kBlockTokens) * kWordBytes;
      for (int word = 0; word < layout.words(); ++word) {
        std::memset(bytes + static_cast<std::size_t>(word) * kBlockTokens * kWordBytes, 0, kWordBytes);
      }
      for (int n = 0; n < channels; ++n) {
        std::uint8_t& byte = bytes[made.byte[n]];
        byte = static_cast<std::uint8_t>(byte | codes[n] << made.shift[n]);
      }
      weightedRows(work.along, channels, work.byChannel, padded, work.estimate);
      float sums[16] = {};
      for (int i = 0; i < padded; i += 16) {
        for (int k = 0; k < 16; ++k) {
          const float distance = work.row[i + k] - work.estimate[i + k];
          sums[k] += distance * distance;
        }
      }
      float total = 0.0f;
      for (const float sum : sums) total += sum;
      radius = total > radius ? total : radius;
    }
    task.radii[segment] = halfAbove(__builtin_sqrtf(radius) * 1.00001f);
  }
}

}  // namespace
}  // namespace kvasir::selection
