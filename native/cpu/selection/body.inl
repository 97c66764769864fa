// The kernels on any `Vec` (native/cpu/simd) and its `Codes`. Included by one leaf file an instruction set.
#pragma once

#include <cstring>

#include "../simd/exp.inl"
#include "encode.inl"
#include "kernels.h"
#include "layout.h"
#include "principal_encode.inl"

namespace kvasir::selection {
namespace {

constexpr int kLanes = Vec::kLanes;
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

void principalBasis(const PrincipalEncodeTask& task) { makeBasis(task, loadRow); }

void principalEncode(const PrincipalEncodeTask& task) { encodePrincipal(task, loadRow); }

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

template <int kBits>
Vec::F loadMean(const std::uint8_t* stats, int i) {
  if constexpr (kBits == 16) return Vec::load(reinterpret_cast<const std::uint16_t*>(stats) + i);
  else return Codes::loadSigned(reinterpret_cast<const std::int8_t*>(stats) + i);
}

template <int kBits>
Vec::F loadDeviation(const std::uint8_t* deviations, int i) {
  if constexpr (kBits == 16) return Codes::loadBytes(deviations + i);
  else return Codes::loadNibbles(deviations, i);
}

struct VectorSteps {
  float mean, deviation;
};

template <int kBits>
VectorSteps stepsOf(const std::uint8_t* stats, int headDim) {
  StatsTail tail;
  std::memcpy(&tail, stats + meanBytes(headDim, kBits) + deviationBytes(headDim, kBits), sizeof tail);
  return {kBits == 16 ? 1.0f : halfToFloat(tail.meanStep), halfToFloat(tail.deviationStep)};
}

// Query heads folded into a segment, see scalar.cpp; the heads side by side, so that they share what they load.
// kPadded is statDim if known, so that its loops unroll, else 0.
template <int kVectorBits, int kHeads, int kPadded>
void fold(const std::uint8_t* stats, int headDim, const float* q, int qStride, std::int8_t* weights, float* most,
          float* dots) {
  const int padded = kPadded > 0 ? kPadded : statDim(headDim);
  const std::uint8_t* deviations = stats + meanBytes(headDim, kVectorBits);
  alignas(64) float products[kHeads][kPadded > 0 ? kPadded : kMaxSelectHeadDim];
  Vec::F dot[4] = {Vec::zero(), Vec::zero(), Vec::zero(), Vec::zero()};
  Vec::F largest[4] = {Vec::zero(), Vec::zero(), Vec::zero(), Vec::zero()};
  for (int i = 0; i < padded; i += kLanes) {
    const Vec::F mean = loadMean<kVectorBits>(stats, i), deviation = loadDeviation<kVectorBits>(deviations, i);
    for (int h = 0; h < kHeads; ++h) {
      const Vec::F lanes = Vec::load(q + h * qStride + i);
      const Vec::F product = Vec::mul(lanes, deviation);
      dot[h] = Vec::fma(lanes, mean, dot[h]);
      largest[h] = Vec::max(largest[h], Vec::abs(product));
      Vec::store(products[h] + i, product);
    }
  }
  foldMaxima<kHeads>(Codes::maxRows4(largest[0], largest[1], largest[2], largest[3]), most);
  foldSums<kHeads>(Vec::sumRows4(dot[0], dot[1], dot[2], dot[3]), dots);
  for (int h = 0; h < kHeads; ++h) {
    const Vec::F inverse = Vec::set(most[h] > 1e-30f ? 127.0f / most[h] : 0.0f);
    for (int i = 0; i < padded; i += kLanes) {
      Codes::storeRounded(weights + h * qStride + i, Vec::mul(Vec::load(products[h] + i), inverse));
    }
  }
}

// Chunks are too short for the hardware to fetch most of them ahead.
constexpr int kBlocksAhead = 16;
constexpr int kBlocksAtOnce = 8;

inline const std::uint8_t* statsAt(const SegmentStats& segments, int place) {
  const int segment = segments.list ? segments.list[place] : place + segments.first;
  return segments.stats + static_cast<std::size_t>(segment) * statBytes(segments.headDim, segments.vectorBits);
}

inline void prefetchBlock(const ScanTask& task, int n, int rowLength) {
  if (n >= task.numBlocks + task.numAhead) return;
  const SegmentBlock& block = task.blocks[n];
  const SegmentStats& segments = task.segments;
  prefetch(statsAt(segments, block.segment - segments.first),
           static_cast<int>(statBytes(segments.headDim, segments.vectorBits)));
  for (int unit = 0; unit < codeUnits(segments.headDim); ++unit) {
    prefetch(task.codes + static_cast<std::size_t>(unit) * task.planeBytes +
                 static_cast<std::size_t>(block.token) * static_cast<std::size_t>(rowLength),
             block.count * rowLength);
  }
}

template <int kVectorBits, int kBits, int kHeads>
void foldSegment(const ScanTask& task, const float* q, int place, FoldedSegment& folded, std::int8_t* weights) {
  const int dim = task.segments.headDim, units = codeUnits(dim), paddedDim = units * kUnitChannels;
  const std::uint8_t* stats = statsAt(task.segments, place);
  if (statDim(dim) < paddedDim) std::memset(weights, 0, static_cast<std::size_t>(kHeads * paddedDim));
  float most[kHeads], dots[kHeads];
  if (dim == 64) fold<kVectorBits, kHeads, 64>(stats, dim, q, paddedDim, weights, most, dots);
  else if (dim == 128) fold<kVectorBits, kHeads, 128>(stats, dim, q, paddedDim, weights, most, dots);
  else fold<kVectorBits, kHeads, 0>(stats, dim, q, paddedDim, weights, most, dots);
  const VectorSteps steps = stepsOf<kVectorBits>(stats, dim);
  const float unit = task.queries.scale * codeScale(kBits).unit * steps.deviation;
  folded.weights = weights;
  for (int h = 0; h < kHeads; ++h) {
    folded.base[h] = task.queries.scale * (steps.mean * dots[h]);
    folded.slope[h] = unit * (most[h] / 127.0f);
    Codes::template zeroSums<kBits>(weights + h * paddedDim, units, folded.zeroSums + h * kZeroSums);
  }
}

template <int kVectorBits, int kBits, int kHeads>
void scanHeads(const ScanTask& task, int firstHead) {
  const int units = codeUnits(task.segments.headDim), paddedDim = units * kUnitChannels;
  const float* q = task.queries.q + firstHead * paddedDim;
  FoldedSegment* folded = reinterpret_cast<FoldedSegment*>(task.work);
  std::int8_t* weights = reinterpret_cast<std::int8_t*>(folded + task.segments.count);
  float* out = task.out + static_cast<std::size_t>(firstHead) * task.outStride;
  int place = 0;
  for (int n = 0; n < kBlocksAhead; ++n) prefetchBlock(task, n, rowBytes(kBits));
  // A few segments are folded, then their blocks scanned: neither loop waits for the other's branches.
  for (int first = 0; first < task.numBlocks; first += kBlocksAtOnce) {
    const int end = first + kBlocksAtOnce < task.numBlocks ? first + kBlocksAtOnce : task.numBlocks;
    for (; place <= task.blocks[end - 1].segment - task.segments.first; ++place) {
      foldSegment<kVectorBits, kBits, kHeads>(task, q, place, folded[place],
                                              weights + place * kMaxHeadsAtOnce * paddedDim);
    }
    for (int n = first; n < end; ++n) {
      prefetchBlock(task, n + kBlocksAhead, rowBytes(kBits));
      const SegmentBlock& block = task.blocks[n];
      Codes::template estimateBlock<kBits, kHeads>(
          task.codes + static_cast<std::size_t>(block.token) * rowBytes(kBits), task.planeBytes, units,
          folded[block.segment - task.segments.first], paddedDim, block.count, out + block.out, task.outStride);
    }
  }
}

template <int kVectorBits, int kBits>
void scanGroup(const ScanTask& task) {
  for (int head = 0; head < task.queries.group; head += kMaxHeadsAtOnce) {
    const int heads = task.queries.group - head;
    if (heads == 1) scanHeads<kVectorBits, kBits, 1>(task, head);
    else if (heads == 2) scanHeads<kVectorBits, kBits, 2>(task, head);
    else if (heads == 3) scanHeads<kVectorBits, kBits, 3>(task, head);
    else scanHeads<kVectorBits, kBits, kMaxHeadsAtOnce>(task, head);
  }
}

template <int kVectorBits>
void scanCodes(const ScanTask& task) {
  if (task.codeBits == 4) scanGroup<kVectorBits, 4>(task);
  else if (task.codeBits == 2) scanGroup<kVectorBits, 2>(task);
  else scanGroup<kVectorBits, 1>(task);
}

void scan(const ScanTask& task) {
  if (task.segments.vectorBits == 16) scanCodes<16>(task);
  else scanCodes<8>(task);
}

template <int kVectorBits>
void massesOf(const MassTask& task) {
  const SegmentStats& segments = task.segments;
  const int dim = segments.headDim, padded = statDim(dim), paddedDim = codeUnits(dim) * kUnitChannels;
  for (int n = 0; n < segments.count; ++n) {
    const std::uint8_t* stats = statsAt(segments, n);
    const std::uint8_t* deviations = stats + meanBytes(dim, kVectorBits);
    const VectorSteps steps = stepsOf<kVectorBits>(stats, dim);
    const float meanScale = task.queries.scale * steps.mean;
    const float varianceScale = task.varianceScale * steps.deviation * steps.deviation;
    for (int head = 0; head < task.queries.group; ++head) {
      const float* q = task.queries.q + head * paddedDim;
      Vec::F dot = Vec::zero(), squares = Vec::zero();
      for (int i = 0; i < padded; i += kLanes) {
        const Vec::F lanes = Vec::load(q + i), product = Vec::mul(lanes, loadDeviation<kVectorBits>(deviations, i));
        dot = Vec::fma(lanes, loadMean<kVectorBits>(stats, i), dot);
        squares = Vec::fma(product, product, squares);
      }
      task.out[static_cast<std::size_t>(head) * task.outStride + static_cast<std::size_t>(n)] =
          meanScale * Vec::sum(dot) + varianceScale * Vec::sum(squares);
    }
  }
}

void masses(const MassTask& task) {
  if (task.segments.vectorBits == 16) massesOf<16>(task);
  else massesOf<8>(task);
}

// Four rows at a time, so that the heads share what they load of them; registers bound the heads at once.
constexpr int kScoreHeads = kLanes == 8 ? 2 : 4;

template <class T, int kHeads, class RowAt>
void scoreHeads(const ScoreTask& task, int firstHead, int at, RowAt rowAt) {
  const int dim = task.keys.headDim, whole = dim / kLanes * kLanes;
  const int paddedDim = codeUnits(dim) * kUnitChannels;
  const float* q = task.queries.q + firstHead * paddedDim;
  Vec::F quads[kHeads][kLanes / 4];
  for (int quad = 0; quad < kLanes / 4; ++quad) {
    const T* rows[4];
    for (int r = 0; r < 4; ++r) rows[r] = reinterpret_cast<const T*>(rowAt(at + quad * 4 + r));
    Vec::F sum[kHeads][4];
    for (int h = 0; h < kHeads; ++h) {
      for (int r = 0; r < 4; ++r) sum[h][r] = Vec::zero();
    }
    const auto add = [&](int i, const Vec::F* key) {
      for (int h = 0; h < kHeads; ++h) {
        const Vec::F lanes = Vec::load(q + h * paddedDim + i);
        for (int r = 0; r < 4; ++r) sum[h][r] = Vec::fma(lanes, key[r], sum[h][r]);
      }
    };
    for (int i = 0; i < whole; i += kLanes) {
      const Vec::F key[4] = {Vec::load(rows[0] + i), Vec::load(rows[1] + i), Vec::load(rows[2] + i),
                             Vec::load(rows[3] + i)};
      add(i, key);
    }
    if (whole < dim) {
      Vec::F key[4];
      for (int r = 0; r < 4; ++r) key[r] = Vec::loadPart(rows[r] + whole, dim - whole);
      add(whole, key);
    }
    for (int h = 0; h < kHeads; ++h) quads[h][quad] = Vec::sumRows4(sum[h][0], sum[h][1], sum[h][2], sum[h][3]);
  }
  for (int h = 0; h < kHeads; ++h) {
    const Vec::F scores = Vec::mul(Vec::finishSums(quads[h]), Vec::set(task.queries.scale));
    float* out = task.out + static_cast<std::size_t>(firstHead + h) * task.outStride + at;
    if (task.count - at >= kLanes) Vec::store(out, scores);
    else Vec::storePart(out, scores, task.count - at);
  }
}

template <class T, class RowAt>
void scoreRows(const ScoreTask& task, RowAt rowAt) {
  const int bytes = task.keys.headDim * static_cast<int>(sizeof(T));
  constexpr int kAhead = 32;
  for (int n = 0; n < kAhead && n < task.count; ++n) prefetch(rowAt(n), bytes);
  for (int at = 0; at < task.count; at += kLanes) {
    for (int n = at + kAhead; n < at + kAhead + kLanes && n < task.count; ++n) prefetch(rowAt(n), bytes);
    for (int head = 0; head < task.queries.group; head += kScoreHeads) {
      const int heads = task.queries.group - head;
      if (heads == 1) scoreHeads<T, 1>(task, head, at, rowAt);
      else if (heads == 2 || kScoreHeads == 2) scoreHeads<T, 2>(task, head, at, rowAt);
      else if (heads == 3) scoreHeads<T, 3>(task, head, at, rowAt);
      else scoreHeads<T, kScoreHeads>(task, head, at, rowAt);
    }
  }
}

template <class T>
void scoreTyped(const ScoreTask& task) {
  const auto last = [&](int n) { return n < task.count ? n : task.count - 1; };
  if (task.rows) scoreRows<T>(task, [&](int n) { return task.rows[last(n)]; });
  else if (task.tokens) scoreRows<T>(task, [&](int n) { return keyRow(task.keys, task.tokens[last(n)]); });
  else scoreRows<T>(task, [&](int n) { return keyRow(task.keys, task.first + last(n)); });
}

void score(const ScoreTask& task) {
  if (task.keys.type == KvType::f32) scoreTyped<float>(task);
  else scoreTyped<std::uint16_t>(task);
}

float maximum(const float* x, int n) {
  Vec::F largest = Vec::set(kMinusInfinity);
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) largest = Vec::max(largest, Vec::load(x + i));
  float most = Vec::maxLane(largest);
  for (; i < n; ++i) most = x[i] > most ? x[i] : most;
  return most;
}

float powers(float* x, int n, float shift) {
  const Vec::F by = Vec::set(shift);
  Vec::F total = Vec::zero();
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec::F power = exp2NonPositive(Vec::sub(Vec::load(x + i), by));
    total = Vec::add(total, power);
    Vec::store(x + i, power);
  }
  if (i < n) {
    Vec::storePart(x + i, exp2NonPositive(Vec::sub(Vec::loadPart(x + i, n - i), by)), n - i);
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
    // In this order NaN gives 0.
    sum = Vec::max(sum, Vec::zero());
    if (full) Vec::store(out + i, sum);
    else Vec::storePart(out + i, sum, n - i);
  }
}

int keyOf(float value) {
  std::int32_t key;
  std::memcpy(&key, &value, 4);
  return key;
}

void countKeys(const float* values, int n, const std::int32_t* probes, std::int32_t* counts) {
  typename Codes::Counter counters[kProbes];
  for (int p = 0; p < kProbes; ++p) counters[p] = Codes::noCount();
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int p = 0; p < kProbes; ++p) counters[p] = Codes::countFrom(counters[p], values + i, probes[p]);
  }
  for (int p = 0; p < kProbes; ++p) counts[p] = Codes::total(counters[p]);
  for (; i < n; ++i) {
    for (int p = 0; p < kProbes; ++p) counts[p] += keyOf(values[i]) >= probes[p] ? 1 : 0;
  }
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

}  // namespace
}  // namespace kvasir::selection

#include "principal_scan.inl"

namespace kvasir::selection {
namespace {

constexpr Kernels kKernels = {encode, scan,    principalBasis, principalEncode, principalScan, masses,
                              score,  maximum, powers,         values,          countKeys,     findKeys};

}  // namespace
}  // namespace kvasir::selection
