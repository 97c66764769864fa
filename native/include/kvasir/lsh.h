// Locality-sensitive hashing: codes of vectors, search among codes, and exact scores of what the search found. Any count may
// be 0. Results depend neither on threads nor on neighbouring rows.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kvasir/context.h"

namespace kvasir {

// Codes of 64-bit words come in multiples of 64 hashes.
constexpr int kMaxHashes = 4096;
constexpr int kMaxNearest = 256;

// signs: bit h of a code is [x.r_h >= 0] (Charikar 2002), hash 0 the lowest bit of the first byte.
// floors: byte h is 128 + floor((x.r_h + o_h) / width), held to [0, 255] (Datar et al. 2004).
// products: float32 x.r_h itself.
enum class HashKind : int { signs = 0, floors = 1, products = 2 };

struct HashPlanes {
  int numHashes;  // a multiple of 64
  int dim;
  const float* panels;   // as packPlanes left them
  const float* offsets;  // [numHashes], for floors
  float width;
};

inline std::size_t rowBytesOf(HashKind kind, int numHashes) {
  const std::size_t hashes = static_cast<std::size_t>(numHashes);
  return kind == HashKind::signs ? hashes / 8 : kind == HashKind::floors ? hashes : hashes * sizeof(float);
}

// planes [numHashes][dim] to panels [numHashes / 32][dim][32].
void packPlanes(const float* planes, int numHashes, int dim, float* panels);

// out[r] = code of x[r], x [rows][dim], rowBytesOf(kind, numHashes) bytes each. Products are summed in order of dim.
void hashRows(Context& context, const HashPlanes& planes, HashKind kind, const float* x, int rows, void* out);

// hamming: bits that differ; l1: sum of absolute differences of bytes.
enum class CodeDistance : int { hamming = 0, l1 = 1 };

// Rows of `words` 64-bit words as [ceil(rows / 8)][words][8 rows]; rows that fill the last block up are zero.
struct CodeTable {
  CodeDistance distance;
  int rows;
  int words;
  const std::uint64_t* blocks;
};

inline std::size_t blockWordsOf(int rows, int words) { return (static_cast<std::size_t>(rows) + 7) / 8 * 8 * static_cast<std::size_t>(words); }

void packCodes(const std::uint8_t* codes, int rows, int words, std::uint64_t* blocks);

// The `count` rows of the table with the least distance to each query, at most maxDistance, nearest first and of equal ones the
// lower index: indices, distances [numQueries][count]; -1 where there are fewer. queries [numQueries][words * 8].
void nearestCodes(Context& context, const CodeTable& table, const std::uint8_t* queries, int numQueries, int count,
                  int maxDistance, std::int32_t* indices, std::int32_t* distances);

// cosine: larger is nearer, 0 for a vector of zeros; l2: squared distance, smaller is nearer.
enum class RowMetric : int { cosine = 0, l2 = 1 };

struct RankInput {
  RowMetric metric;
  int dim;
  const float* queries;  // [numQueries][dim]
  int numQueries;
  const float* rows;  // [.][dim]
  const std::int32_t* candidates;  // [numQueries][count], indices of rows; negative ones are passed over
  int count;
  float threshold;  // what is farther is not taken
};

// indices[q]: the candidate that is nearest by its vector, of equal ones the lower index, or -1; values[q]: its value, or NaN.
void rankRows(Context& context, const RankInput& input, std::int32_t* indices, float* values);

}  // namespace kvasir
