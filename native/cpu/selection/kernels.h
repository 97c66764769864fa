// The table of inner loops, one a instruction set. Everything above it is portable code.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kvasir/selection.h"

namespace kvasir::selection {

// K rows of one (layer, KV head).
struct HeadKeys {
  const std::uint8_t* base;
  const std::int32_t* pages;
  std::size_t pageStride;
  KvType type;
  int headDim;
};

static inline HeadKeys headKeys(const KvView& kv, int layer, int kvHead, const std::int32_t* pages) {
  return {kv.base + static_cast<std::size_t>(layer) * kv.layerStride + static_cast<std::size_t>(kvHead) * kv.headStride,
          pages, kv.pageStride, kv.type, kv.headDim};
}

struct EncodeTask {
  HeadKeys keys;
  int start, end;  // the segment
  int codeBits;
  std::uint8_t* stats;  // [statBytes]
  std::uint8_t* codes;  // row of token `start` in the first plane
  std::size_t planeBytes;
};

struct ScanTask {
  const std::uint8_t* stats;  // of segment 0
  const std::uint8_t* codes;  // of token 0
  std::size_t planeBytes;
  const std::int32_t* ends;
  int segment;  // the one that holds token `start`
  int start, end;
  int headDim, codeBits;
  const float* q;  // [group][paddedDim], zeros beyond headDim; paddedDim = 64 * codeUnits
  int group;
  float scale;
  std::int8_t* weights;  // work, [group][paddedDim], zeros beyond headDim
  float* out;            // [group][outStride], estimates of tokens start to end
  std::size_t outStride;
};

struct ScoreTask {
  HeadKeys keys;
  const std::uint8_t* const* rows;  // [count] addresses, or null: by token in `keys`
  const std::int32_t* tokens;       // [count], or null: first, first + 1, ...
  int first, count;
  const float* q;  // [group][paddedDim]
  int group;
  float scale;
  float* out;  // [group][outStride]
  std::size_t outStride;
};

// A value as an integer that orders as it does: values are >= 0.
// Keeps a (key, token) if key > cut.key, or key == cut.key and token <= cut.token.
struct Cut {
  std::int32_t key;
  std::int32_t token;
};

// 32 buckets an octave from 2^-40 to 2^8; what lies beyond falls in the first or the last.
constexpr int kBuckets = 48 * 32;
constexpr int kBucketShift = 18;
constexpr std::int32_t kFirstBucket = (127 - 40) << 5;
static inline int bucketOf(std::int32_t key) {
  const std::int32_t bucket = (key >> kBucketShift) - kFirstBucket;
  return bucket < 0 ? 0 : bucket >= kBuckets ? kBuckets - 1 : bucket;
}

struct Kernels {
  // Statistics and codes of one segment. The same bits on every instruction set.
  void (*encode)(const EncodeTask& task);
  // Estimated scores: (q.c + sum_i q_i e_i level_i) * scale, where the weights q_i * byte_i are rounded to
  // 8 bits a (segment, query head).
  void (*scan)(const ScanTask& task);
  // Exact scores q.k * scale.
  void (*score)(const ScoreTask& task);
  // Largest of x [n], -infinity if n is 0.
  float (*maximum)(const float* x, int n);
  // x = exp(x - shift) in place, for x <= shift; returns the sum.
  float (*exponentials)(float* x, int n, float shift);
  // out[i] = sum over heads of factors[head * factorStride] * x[head][i], x [group][stride].
  void (*values)(const float* x, std::size_t stride, int group, const float* factors, std::size_t factorStride, int n,
                 float* out);
  // counts[bucketOf(values[i])] += 1.
  void (*histogram)(const float* values, int n, std::uint32_t* counts);
  // Positions i with low <= key of values[i] <= high, ascending; returns how many.
  int (*findKeys)(const float* values, int n, std::int32_t low, std::int32_t high, std::int32_t* positions);
};

const Kernels& kernelsFor(Isa isa);

extern const Kernels scalarKernels;
#if defined(__x86_64__)
extern const Kernels avx2Kernels;
extern const Kernels avx512Kernels;
extern const Kernels vnniKernels;
#elif defined(__aarch64__)
extern const Kernels neonKernels;
#endif

}  // namespace kvasir::selection
