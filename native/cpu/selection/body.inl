// The kernels on any `Vec` (native/cpu/simd) and its `Codes`. Included by one leaf file an instruction set.
#pragma once

#include <cstring>

#include "../simd/exp.inl"
#include "encode.inl"
#include "kernels.h"
#include "layout.h"

namespace kvasir::selection {
namespace {

constexpr int kLanes = Vec::kLanes;
constexpr int kMaxHeadsAtOnce = 4;
constexpr float kMinusInfinity = -__builtin_inff();

void loadRow(const std::uint8_t* row, KvType type, int dim, float* out) {
  const auto copy = [&](const auto* source) {
    int i = 0;
    for (; i + kLanes <= dim; i += kLanes) Vec::store(out + i, Vec::load(source + i));
    if (i < dim) Vec::storePart(out + i, Vec::loadPart(source + i, dim - i), dim - i);
  };
  if (type == KvType::f32) {
    copy(reinterpret_cast<const float*>(row));
  } else {
    copy(reinterpret_cast<const std::uint16_t*>(row));
  }
}

void encode(const EncodeTask& task) { encodeSegment(task, loadRow); }

constexpr int kCacheLine = 64;

void prefetch(const std::uint8_t* p, int bytes) {
  for (int at = 0; at < bytes; at += kCacheLine) Vec::prefetch(p + at);
}

// Largest and sum of each row's lanes, from what sumRows4 and maxRows4 leave: [row 0, row 1, row 2, row 3] again and
// again.
template <int kHeads>
void foldSums(Vec::F rows, float* out) {
  float lanes[kLanes];
  Vec::store(lanes, rows);
  for (int h = 0; h < kHeads; ++h) {
    out[h] = lanes[h];
    for (int lane = h + 4; lane < kLanes; lane += 4) out[h] += lanes[lane];
  }
}

template <int kHeads>
void foldMaxima(Vec::F rows, float* out) {
  float lanes[kLanes];
  Vec::store(lanes, rows);
  for (int h = 0; h < kHeads; ++h) {
    out[h] = lanes[h];
    for (int lane = h + 4; lane < kLanes; lane += 4) out[h] = lanes[lane] > out[h] ? lanes[lane] : out[h];
  }
}

// Query heads folded into a segment, see scalar.cpp; the heads side by side, so that they share what they load.
// kPadded is statDim if known, so that its loops unroll, else 0.
template <int kHeads, int kPadded>
void fold(const ScanTask& task, const std::uint8_t* stats, const float* q, int qStride, std::int8_t* weights,
          float* base, float* slope) {
  const int padded = kPadded > 0 ? kPadded : statDim(task.headDim);
  const std::uint16_t* means = reinterpret_cast<const std::uint16_t*>(stats);
  const std::uint8_t* bytes = stats + static_cast<std::size_t>(padded) * 2;
  float step;
  std::memcpy(&step, bytes + padded, 4);

  alignas(64) float products[kHeads][kPadded > 0 ? kPadded : kMaxSelectHeadDim];
  Vec::F dot[4] = {Vec::zero(), Vec::zero(), Vec::zero(), Vec::zero()};
  Vec::F largest[4] = {Vec::zero(), Vec::zero(), Vec::zero(), Vec::zero()};
  for (int i = 0; i < padded; i += kLanes) {
    const Vec::F mean = Vec::load(means + i), deviation = Codes::loadBytes(bytes + i);
    for (int h = 0; h < kHeads; ++h) {
      const Vec::F lanes = Vec::load(q + h * qStride + i);
      const Vec::F product = Vec::mul(lanes, deviation);
      dot[h] = Vec::fma(lanes, mean, dot[h]);
      largest[h] = Vec::max(largest[h], Vec::abs(product));
      Vec::store(products[h] + i, product);
    }
  }
  float most[kHeads];
  foldMaxima<kHeads>(Codes::maxRows4(largest[0], largest[1], largest[2], largest[3]), most);
  foldSums<kHeads>(Vec::sumRows4(dot[0], dot[1], dot[2], dot[3]), base);
  const float unit = task.scale * codeScale(task.codeBits).unit * step;
  for (int h = 0; h < kHeads; ++h) {
    const Vec::F inverse = Vec::set(most[h] > 1e-30f ? 127.0f / most[h] : 0.0f);
    for (int i = 0; i < padded; i += kLanes) {
      Codes::storeRounded(weights + h * qStride + i, Vec::mul(Vec::load(products[h] + i), inverse));
    }
    base[h] *= task.scale;
    slope[h] = unit * (most[h] / 127.0f);
  }
}

constexpr int kSegmentsAhead = 4;
constexpr int kBytesAhead = 1024;

template <int kBits, int kHeads>
void scanHeads(const ScanTask& task, int firstHead) {
  const int units = codeUnits(task.headDim), paddedDim = units * kUnitChannels;
  const float* q = task.q + firstHead * paddedDim;
  std::int8_t* weights = task.weights + firstHead * paddedDim;
  float* out = task.out + static_cast<std::size_t>(firstHead) * task.outStride;
  int segment = task.segment;
  for (int at = task.start; at < task.end; ++segment) {
    const int stop = task.ends[segment] < task.end ? task.ends[segment] : task.end;
    const std::uint8_t* stats = task.stats + static_cast<std::size_t>(segment) * statBytes(task.headDim);
    // Chunks are too short for the hardware to fetch most of them ahead.
    const std::uint8_t* codes = task.codes + static_cast<std::size_t>(at) * (8 * kBits);
    prefetch(stats + kSegmentsAhead * statBytes(task.headDim), static_cast<int>(statBytes(task.headDim)));
    for (int unit = 0; unit < units; ++unit) {
      prefetch(codes + static_cast<std::size_t>(unit) * task.planeBytes + kBytesAhead, (stop - at) * 8 * kBits);
    }
    float base[kHeads], slope[kHeads];
    if (task.headDim == 64) fold<kHeads, 64>(task, stats, q, paddedDim, weights, base, slope);
    else if (task.headDim == 128) fold<kHeads, 128>(task, stats, q, paddedDim, weights, base, slope);
    else fold<kHeads, 0>(task, stats, q, paddedDim, weights, base, slope);
    Codes::template sums<kBits, kHeads>(codes, task.planeBytes, units, stop - at, weights, paddedDim, base, slope,
                                        out + (at - task.start), task.outStride);
    at = stop;
  }
}

template <int kBits>
void scanGroup(const ScanTask& task) {
  for (int head = 0; head < task.group; head += kMaxHeadsAtOnce) {
    const int heads = task.group - head;
    if (heads == 1) scanHeads<kBits, 1>(task, head);
    else if (heads == 2) scanHeads<kBits, 2>(task, head);
    else if (heads == 3) scanHeads<kBits, 3>(task, head);
    else scanHeads<kBits, kMaxHeadsAtOnce>(task, head);
  }
}

void scan(const ScanTask& task) {
  if (task.codeBits == 2) scanGroup<2>(task);
  else scanGroup<1>(task);
}

template <class T>
void scoreRows(const ScoreTask& task) {
  const int dim = task.keys.headDim, whole = dim / kLanes * kLanes;
  const int paddedDim = codeUnits(dim) * kUnitChannels;
  const int bytes = dim * static_cast<int>(sizeof(T));
  const auto rowAt = [&](int n) {
    const int i = n < task.count ? n : task.count - 1;
    return task.rows ? task.rows[i] : keyRow(task.keys, task.tokens ? task.tokens[i] : task.first + i);
  };
  constexpr int kAhead = 4 * kLanes;
  for (int n = 0; n < kAhead && n < task.count; ++n) prefetch(rowAt(n), bytes);
  for (int at = 0; at < task.count; at += kLanes) {
    const T* rows[kLanes];
    for (int n = 0; n < kLanes; ++n) {
      if (at + n + kAhead < task.count) prefetch(rowAt(at + n + kAhead), bytes);
      rows[n] = reinterpret_cast<const T*>(rowAt(at + n));
    }
    for (int head = 0; head < task.group; ++head) {
      const float* q = task.q + head * paddedDim;
      Vec::F quads[kLanes / 4];
      for (int quad = 0; quad < kLanes / 4; ++quad) {
        const T* const* four = rows + quad * 4;
        Vec::F sum[4] = {Vec::zero(), Vec::zero(), Vec::zero(), Vec::zero()};
        for (int i = 0; i < whole; i += kLanes) {
          const Vec::F lanes = Vec::load(q + i);
          for (int r = 0; r < 4; ++r) sum[r] = Vec::fma(lanes, Vec::load(four[r] + i), sum[r]);
        }
        if (whole < dim) {
          const Vec::F lanes = Vec::load(q + whole);
          for (int r = 0; r < 4; ++r) sum[r] = Vec::fma(lanes, Vec::loadPart(four[r] + whole, dim - whole), sum[r]);
        }
        quads[quad] = Vec::sumRows4(sum[0], sum[1], sum[2], sum[3]);
      }
      const Vec::F scores = Vec::mul(Vec::finishSums(quads), Vec::set(task.scale));
      float* out = task.out + static_cast<std::size_t>(head) * task.outStride + at;
      if (task.count - at >= kLanes) Vec::store(out, scores);
      else Vec::storePart(out, scores, task.count - at);
    }
  }
}

void score(const ScoreTask& task) {
  if (task.keys.type == KvType::f32) scoreRows<float>(task);
  else scoreRows<std::uint16_t>(task);
}

float maximum(const float* x, int n) {
  Vec::F largest = Vec::set(kMinusInfinity);
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) largest = Vec::max(largest, Vec::load(x + i));
  float most = Vec::maxLane(largest);
  for (; i < n; ++i) most = x[i] > most ? x[i] : most;
  return most;
}

float exponentials(float* x, int n, float shift) {
  const Vec::F by = Vec::set(shift);
  Vec::F total = Vec::zero();
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec::F power = expNonPositive(Vec::sub(Vec::load(x + i), by));
    total = Vec::add(total, power);
    Vec::store(x + i, power);
  }
  if (i < n) {
    Vec::storePart(x + i, expNonPositive(Vec::sub(Vec::loadPart(x + i, n - i), by)), n - i);
    total = Vec::add(total, Vec::loadPart(x + i, n - i));
  }
  return Vec::sum(total);
}

void values(const float* x, std::size_t stride, int group, const float* factors, std::size_t factorStride, int n,
            float* out) {
  for (int i = 0; i < n; i += kLanes) {
    const bool full = i + kLanes <= n;
    Vec::F sum = Vec::zero();
    for (int head = 0; head < group; ++head) {
      const float* row = x + static_cast<std::size_t>(head) * stride + i;
      const Vec::F factor = Vec::set(factors[static_cast<std::size_t>(head) * factorStride]);
      sum = Vec::fma(factor, full ? Vec::load(row) : Vec::loadPart(row, n - i), sum);
    }
    if (full) Vec::store(out + i, sum);
    else Vec::storePart(out + i, sum, n - i);
  }
}

int keyOf(float value) {
  std::int32_t key;
  std::memcpy(&key, &value, 4);
  return key;
}

void histogram(const float* values, int n, std::uint32_t* counts) {
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    std::int32_t buckets[kLanes];
    Codes::storeBuckets(values + i, kBucketShift, kFirstBucket, kBuckets - 1, buckets);
    for (int lane = 0; lane < kLanes; ++lane) ++counts[buckets[lane]];
  }
  for (; i < n; ++i) ++counts[bucketOf(keyOf(values[i]))];
}

int findKeys(const float* values, int n, std::int32_t low, std::int32_t high, std::int32_t* positions) {
  int found = 0, i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    found += Codes::storeKeysBetween(values + i, low, high, i, positions + found);
  }
  for (; i < n; ++i) {
    const std::int32_t key = keyOf(values[i]);
    if (key >= low && key <= high) positions[found++] = i;
  }
  return found;
}

constexpr Kernels kKernels = {encode, scan, score, maximum, exponentials, values, histogram, findKeys};

}  // namespace
}  // namespace kvasir::selection
