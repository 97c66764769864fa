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
  int codeBits, vectorBits;
  std::uint8_t* stats;  // [statBytes]
  std::uint8_t* codes;  // row of token `start` in the first plane
  std::size_t planeBytes;
};

// Queries of one KV head's group, zeros beyond headDim; paddedDim = 64 * codeUnits.
struct Queries {
  const float* q;  // [group][paddedDim]
  int group;
  float scale;
};

// Statistics of `count` segments: those listed, or `first` and its followers.
struct SegmentStats {
  const std::uint8_t* stats;  // of segment 0
  const std::int32_t* list;   // or null
  int first, count;
  int headDim, vectorBits;
};

struct ScanTask {
  SegmentStats segments;
  const std::uint8_t* codes;  // of token 0
  std::size_t planeBytes;
  int codeBits;
  const SegmentBlock* blocks;  // of these segments alone; block.segment - segments.first is the place in their list
  int numBlocks;
  int numAhead;  // blocks behind them that will be scanned next: worth fetching
  Queries queries;
  std::byte* work;  // [scanWorkBytes], 64-byte aligned
  float* out;       // [group][outStride], the estimate of a block's token i at block.out + i
  std::size_t outStride;
};
std::size_t scanWorkBytes(int headDim, int numSegments);

// One KV head of an index with basis principal; see principal_layout.h.
struct PrincipalView {
  const std::uint8_t* codes;       // of block 0
  const std::uint8_t* means;       // of group 0
  const std::uint16_t* meanSteps;  // [segments] float16, for means of 8 bits
  const std::uint16_t* basis;      // [headDim][paddedChannels] float16
  const float* steps;              // [paddedChannels], 0 beyond the channels, as
  const float* zeros;              // [paddedChannels] what is taken off a code
};

struct PrincipalEncodeTask {
  HeadKeys keys;
  int codeBits, vectorBits;
  const std::int32_t* ends;  // of all segments
  int first, end;            // segments to code
  std::uint8_t* codes;
  std::uint8_t* means;
  std::uint16_t* radii;
  std::uint16_t* meanSteps;
  std::uint16_t* basis;
  float* steps;
  float* zeros;
  std::byte* work;  // [principalEncodeBytes], 64-byte aligned
};
std::size_t principalEncodeBytes(int headDim);

struct PrincipalScanTask {
  PrincipalView index;
  int headDim, codeBits, vectorBits;
  const SegmentBlock* blocks;  // in a row
  const std::uint8_t* places;  // [numBlocks][16]
  int numBlocks;
  Queries queries;
  std::byte* work;  // [principalScanBytes], 64-byte aligned
  float* out;       // [group][outStride], whole blocks: the estimate of a block's token i at block.out + i
  std::size_t outStride;
};
std::size_t principalScanBytes(int headDim, int codeBits, int numSegments);

struct MassTask {
  SegmentStats segments;
  Queries queries;
  float varianceScale;
  float* out;  // [group][outStride]
  std::size_t outStride;
};

struct ScoreTask {
  HeadKeys keys;
  const std::uint8_t* const* rows;  // [count] addresses, or null: by token in `keys`
  const std::int32_t* tokens;       // [count], or null: first, first + 1, ...
  int first, count;
  Queries queries;
  float* out;  // [group][outStride]
  std::size_t outStride;
};

// A value as an integer that orders as it does: values are >= 0, and -1 for what must not be kept.
// Keeps a (key, token) if key > cut.key, or key == cut.key and token <= cut.token.
struct Cut {
  std::int32_t key;
  std::int32_t token;
};

constexpr int kProbes = 4;

struct Kernels {
  // Statistics and codes of one segment. The same bits on every instruction set.
  void (*encode)(const EncodeTask& task);
  // Estimated scores: (q.c + sum_i q_i e_i level_i) * scale, where the weights q_i * e_i are rounded to 8 bits a
  // (segment, query head).
  void (*scan)(const ScanTask& task);
  // Basis and steps of a KV head, from the first segments that hold kBasisTokens tokens. The same bits everywhere, as of
  // principalEncode.
  void (*principalBasis)(const PrincipalEncodeTask& task);
  // Means, radii and codes of segments.
  void (*principalEncode)(const PrincipalEncodeTask& task);
  // Estimated scores: (q.c + sum_n (V q)_n step_n (x_n - zero_n)) * scale over the channels n of the basis V, where the
  // weights (V q)_n step_n are rounded to 8 bits a query head.
  void (*principalScan)(const PrincipalScanTask& task);
  // q.c * scale + sum_i (q_i e_i)^2 * varianceScale of whole segments.
  void (*masses)(const MassTask& task);
  // Exact scores q.k * scale.
  void (*score)(const ScoreTask& task);
  // Largest of x [n], -infinity if n is 0.
  float (*maximum)(const float* x, int n);
  // x = 2^(x - shift) in place, for x <= shift; returns the sum.
  float (*powers)(float* x, int n, float shift);
  // out[i] = sum over heads of factors[head * factorStride] * x[head][i], x [group][stride]; NaN becomes 0.
  void (*values)(const float* x, std::size_t stride, int group, const float* factors, std::size_t factorStride, int n,
                 float* out);
  // counts[p] = how many values have a key of at least probes[p].
  void (*countKeys)(const float* values, int n, const std::int32_t* probes, std::int32_t* counts);
  // Positions i with low <= key of values[i] <= high, ascending; returns how many. Room for n.
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
