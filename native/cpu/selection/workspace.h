// The arrays of one choice, in the Context's shared memory.
#pragma once

#include <algorithm>
#include <atomic>
#include <new>

#include "kernels.h"
#include "layout.h"

namespace kvasir::selection {

inline std::size_t wide(int n) { return static_cast<std::size_t>(n); }

struct WorkShape {
  int numHeads, numKvHeads, headDim;
  std::size_t stride;      // positions of a KV head
  std::size_t poolStride;  // tokens of its pool
  int chunks;              // tasks that score its positions
  bool otherQuery;         // estimates are made for another query
};

// Tasks of a KV head that are not done yet, alone on its cache line.
struct alignas(64) Pending {
  std::atomic<int> tasks;
};

class Workspace {
 public:
  Workspace(Context& context, const WorkShape& shape) : shape_(shape) {
    const std::size_t heads = wide(shape.numHeads), kvHeads = wide(shape.numKvHeads);
    const std::size_t padded = heads * wide(codeUnits(shape.headDim) * kUnitChannels);
    // Laid out once to learn the size, and again in memory.
    const std::size_t bytes = layOut(nullptr, heads, kvHeads, padded);
    layOut(context.shared(bytes), heads, kvHeads, padded);
    for (std::size_t kvHead = 0; kvHead < kvHeads; ++kvHead) new (&pending[kvHead].tasks) std::atomic<int>(0);
  }

  std::size_t stride() const { return shape_.stride; }
  std::size_t poolStride() const { return shape_.poolStride; }
  std::size_t chunkStride() const { return wide(shape_.chunks); }

  float* queries;         // [numHeads][paddedDim]
  float* otherQueries;    // the same, if another query is estimated
  float* scores;          // [numHeads][stride] scores, then powers of two relative to a chunk's largest
  float* values;          // [numKvHeads][stride]
  float* poolScores;      // [numHeads][poolStride]
  float* poolValues;      // [numKvHeads][poolStride]
  std::int32_t* pool;     // [numKvHeads][poolStride] tokens
  std::int32_t* work;     // [max of the strides]
  float* maxima;          // [numHeads][chunks]
  float* sums;            // [numHeads][chunks]
  float* factors;         // [numHeads][chunks]
  float* visibleMaxima;   // [2][numHeads] for the estimated and the true query
  float* visibleSums;     // [2][numHeads]
  float* poolLogSums;     // [numHeads] base-2 logarithm of the pool's softmax denominator
  std::int32_t* counts;   // [numKvHeads] tokens of the pool
  Cut* cuts;              // [numKvHeads]
  Cut* poolCuts;          // [numKvHeads]
  Pending* pending;       // [numKvHeads]

 private:
  std::size_t layOut(std::byte* base, std::size_t heads, std::size_t kvHeads, std::size_t padded) {
    bytes_ = 0;
    const std::size_t chunks = heads * chunkStride();
    place(base, queries, padded);
    place(base, otherQueries, shape_.otherQuery ? padded : 0);
    place(base, scores, heads * shape_.stride);
    place(base, values, kvHeads * shape_.stride);
    place(base, poolScores, heads * shape_.poolStride);
    place(base, poolValues, kvHeads * shape_.poolStride);
    place(base, pool, kvHeads * shape_.poolStride);
    place(base, work, std::max(shape_.stride, shape_.poolStride));
    place(base, maxima, chunks);
    place(base, sums, chunks);
    place(base, factors, chunks);
    place(base, visibleMaxima, 2 * heads);
    place(base, visibleSums, 2 * heads);
    place(base, poolLogSums, heads);
    place(base, counts, kvHeads);
    place(base, cuts, kvHeads);
    place(base, poolCuts, kvHeads);
    place(base, pending, kvHeads);
    return bytes_;
  }

  template <class T>
  void place(std::byte* base, T*& array, std::size_t count) {
    if (base) array = reinterpret_cast<T*>(base + bytes_);
    bytes_ += (count * sizeof(T) + 63) / 64 * 64;
  }

  WorkShape shape_;
  std::size_t bytes_;
};

}  // namespace kvasir::selection
