// What an instruction set supplies for attention. Everything else (tasks, runs, merging) is shared.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kvasir/attention.h"

namespace kvasir::attention {

constexpr int kKeyTile = 128;      // prefill: keys that share one rescale; tiles start at multiples of it
constexpr int kBlockTokens = 64;   // decode: most rows that share one rescale
constexpr int kSplitTokens = 512;  // decode: rows of one task

// The K rows of one KV head in the pages of one sequence; V rows lie valueStride bytes behind them.
struct HeadRows {
  const std::uint8_t* base;
  std::size_t pageStride;
  std::size_t valueStride;
  const std::int32_t* pages;
  KvType type;
  int headDim;

  std::size_t rowBytes() const { return static_cast<std::size_t>(headDim) * (type == KvType::f16 ? 2 : 4); }
  // The K row at an offset of the sequence's page number `page`.
  const std::uint8_t* row(int page, int offset) const {
    return base + static_cast<std::size_t>(pages[page]) * pageStride + static_cast<std::size_t>(offset) * rowBytes();
  }
  const std::uint8_t* key(int index) const { return row(index / kPageTokens, index % kPageTokens); }
};

// Where rows of a batch stand in their sequence: `first`, first + 1, ..., or as listed, ascending.
struct RowIndices {
  int first;
  const std::int32_t* listed;  // or null

  int operator()(int row) const { return listed != nullptr ? listed[row] : first + row; }
};

// Rows of a sequence against one KV head, all `group` query heads of it.
struct PrefillTask {
  HeadRows kv;
  const float* q;  // row r, head h of the group at q[r * rowStride + h * headDim], out alike
  float* out;
  float* max;  // [rows * group] largest score in log2 units
  float* sum;  // [rows * group] sum of 2^(s - max)
  std::size_t rowStride;
  int rows;
  int group;
  RowIndices index;
  int windowTokens;  // 0: none
  float scale;
  const Context* context;
  std::byte* scratch;  // prefillScratchBytes
};

// Unfinished attention over `count` rows: out = sum of 2^(s - max) v, sum = sum of 2^(s - max), s in log2 units.
struct RunsTask {
  const std::uint8_t* const* keys;  // [count rounded up to kBlockTokens]; the tail repeats the last row
  int count;                        // 1..kSplitTokens
  std::size_t valueStride;
  KvType type;
  int headDim;
  int group;
  const float* q;  // [group][headDim]
  float scale;
  float* out;          // [group][headDim]
  float* max;          // [group]
  float* sum;          // [group]
  std::byte* scratch;  // runsScratchBytes
};

// Softmax weights over `count` rows.
struct WeightsTask {
  const std::uint8_t* const* keys;  // [count rounded up to kBlockTokens]; the tail repeats the last row
  int count;                        // >= 1
  KvType type;
  int headDim;
  int group;
  const float* q;  // [group][headDim]
  float scale;
  float* out;          // [group][count]
  std::byte* scratch;  // weightsScratchBytes
};

// Attention that rows of a sequence pay, all `group` query heads of one KV head, in two
// passes over blocks of keys: what each query's softmax divides by, then the weights, summed over the rows.
struct MassTask {
  HeadRows kv;
  const float* q;    // row r, head h of the group at q[r * rowStride + h * headDim]
  const float* lse;  // the same at lse[r * lseStride + h]: then there are no stats to be found; or null
  float* mass;       // head h, key j at mass[h * massStride + j]
  std::size_t lseStride;
  std::size_t rowStride;
  std::size_t massStride;
  int rows;
  int group;
  RowIndices index;
  int windowTokens;  // 0: none
  float scale;
  int firstKey;   // a multiple of kKeyTile
  int blockKeys;  // of one block, a multiple of kKeyTile; the last block ends with the last row's index
  int numBlocks;
  const Context* context;
  std::byte* state;    // stateBytes, 64-byte aligned, the same for all blocks
  std::byte* scratch;  // scratchBytes of one worker
};

struct MassKernels {
  std::size_t (*stateBytes)(int headDim, int rows, int group, int numBlocks);
  void (*open)(const MassTask& task);
  // Where lse is null: the stats of each block, then close.
  void (*stats)(const MassTask& task, int block);
  void (*close)(const MassTask& task);
  void (*weights)(const MassTask& task, int block);
  std::size_t (*scratchBytes)(int headDim, int group);
};

struct Kernels {
  std::size_t (*prefillScratchBytes)(int headDim, int rows, int group);
  void (*prefill)(const PrefillTask& task);
  std::size_t (*runsScratchBytes)(int headDim, int group);
  void (*runs)(const RunsTask& task);
  std::size_t (*weightsScratchBytes)(int headDim, int group, int count);
  void (*weights)(const WeightsTask& task);
  MassKernels mass;
  void (*storeHalf)(const float* in, int count, std::uint16_t* out);
};

extern const Kernels kernelsScalar;
extern const Kernels kernelsAvx2;
extern const Kernels kernelsAvx512;
extern const Kernels kernelsNeon;

const Kernels& kernelsFor(Isa isa);

}  // namespace kvasir::attention
