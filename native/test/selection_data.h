// Random KV pages and plain float64 answers for the selection tests.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "../cpu/selection/layout.h"
#include "../cpu/simd/half.h"
#include "kvasir/selection.h"

namespace kvasir::test {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state(seed * 0x9e3779b97f4a7c15u + 1) {}
  std::uint64_t next() {
    std::uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  int below(int n) { return static_cast<int>(next() % static_cast<std::uint64_t>(n)); }
  int between(int low, int high) { return low + below(high - low + 1); }
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  float normal() {
    return static_cast<float>(std::sqrt(-2 * std::log(1 - uniform())) * std::cos(6.283185307179586 * uniform()));
  }
  template <class T>
  T pick(std::initializer_list<T> list) {
    return list.begin()[below(static_cast<int>(list.size()))];
  }

 private:
  std::uint64_t state;
};

// KV of one sequence in shuffled physical pages; V rows and everything behind the last token are NaN.
struct Sequence {
  int numLayers, numKvHeads, headDim, numTokens;
  KvType type;
  std::vector<std::uint8_t> memory;
  std::vector<std::int32_t> pages;
  KvView kv{};

  Sequence(Random& random, int layers, int kvHeads, int dim, int tokens, KvType kvType, float spread = 1)
      : numLayers(layers), numKvHeads(kvHeads), headDim(dim), numTokens(tokens), type(kvType) {
    const std::size_t element = type == KvType::f32 ? 4 : 2;
    const std::size_t rows = kPageTokens * static_cast<std::size_t>(dim) * element;
    const int numPages = (tokens + kPageTokens - 1) / kPageTokens;
    kv.valueStride = rows;
    kv.headStride = 2 * rows;
    kv.layerStride = kv.headStride * static_cast<std::size_t>(kvHeads);
    kv.pageStride = kv.layerStride * static_cast<std::size_t>(layers);
    kv.type = type;
    kv.numKvHeads = kvHeads;
    kv.headDim = dim;
    memory.assign(kv.pageStride * static_cast<std::size_t>(numPages), 0xff);  // NaN in both types
    kv.base = memory.data();
    for (int i = 0; i < numPages; ++i) pages.push_back(i);
    for (int i = numPages - 1; i > 0; --i)
      std::swap(pages[static_cast<std::size_t>(i)], pages[static_cast<std::size_t>(random.below(i + 1))]);

    // Keys with a common part, a slow drift and channels of unlike size, as rotated keys have; channel 3 is constant.
    for (int layer = 0; layer < layers; ++layer) {
      for (int head = 0; head < kvHeads; ++head) {
        std::vector<float> common(static_cast<std::size_t>(dim)), size(static_cast<std::size_t>(dim));
        for (float& x : common) x = 2 * random.normal();
        for (float& x : size) x = spread * std::exp(0.5f * random.normal());
        for (int token = 0; token < tokens; ++token) {
          if (token % 23 == 0) {
            for (float& x : common) x = 0.7f * x + random.normal();
          }
          for (int i = 0; i < dim; ++i) {
            const std::size_t c = static_cast<std::size_t>(i);
            setKey(layer, head, token, i, i == 3 ? 0.5f : common[c] + size[c] * random.normal());
          }
        }
      }
    }
  }

  std::uint8_t* row(int layer, int head, int token) {
    const std::size_t element = type == KvType::f32 ? 4 : 2;
    return kv.base + static_cast<std::size_t>(pages[static_cast<std::size_t>(token / kPageTokens)]) * kv.pageStride +
           static_cast<std::size_t>(layer) * kv.layerStride + static_cast<std::size_t>(head) * kv.headStride +
           static_cast<std::size_t>(token % kPageTokens * headDim) * element;
  }
  void setKey(int layer, int head, int token, int channel, float value) {
    std::uint8_t* at = row(layer, head, token);
    if (type == KvType::f32) {
      std::memcpy(at + 4 * channel, &value, 4);
    } else {
      const std::uint16_t half = floatToHalf(value);
      std::memcpy(at + 2 * channel, &half, 2);
    }
  }
  double key(int layer, int head, int token, int channel) {
    const std::uint8_t* at = row(layer, head, token);
    if (type == KvType::f32) {
      float value;
      std::memcpy(&value, at + 4 * channel, 4);
      return static_cast<double>(value);
    }
    std::uint16_t half;
    std::memcpy(&half, at + 2 * channel, 2);
    return static_cast<double>(halfToFloat(half));
  }
};

inline std::vector<std::int32_t> randomEnds(Random& random, int start, int end, int longest) {
  std::vector<std::int32_t> ends;
  while (start < end) {
    start = std::min(end, start + random.between(1, longest));
    ends.push_back(start);
  }
  return ends;
}

inline std::vector<float> randomQueries(Random& random, int numHeads, int headDim, float size) {
  std::vector<float> q(static_cast<std::size_t>(numHeads * headDim));
  for (float& x : q) x = size * random.normal();
  return q;
}

// Tokens that a row of runs names.
inline std::vector<int> tokensOf(const ChosenRuns& chosen, int row) {
  std::vector<int> tokens;
  for (int r = chosen.rowStarts[static_cast<std::size_t>(row)]; r < chosen.rowStarts[static_cast<std::size_t>(row) + 1];
       ++r) {
    const KvRun run = chosen.runs[static_cast<std::size_t>(r)];
    for (int i = 0; i < run.len; ++i) tokens.push_back(run.page * kPageTokens + run.first + i);
  }
  return tokens;
}

// Budgeted choice by sorting, wanted[row] of each row on average: kept[row][position].
inline std::vector<std::vector<bool>> sortedChoice(const std::vector<std::vector<double>>& values,
                                                   const std::vector<std::vector<int>>& tokens,
                                                   const std::vector<int>& wanted, bool joint) {
  struct Entry {
    double value;
    int token, row, position;
  };
  const auto before = [](const Entry& a, const Entry& b) {
    if (a.value != b.value) return a.value > b.value;
    return a.token != b.token ? a.token < b.token : a.row < b.row;
  };
  std::vector<std::vector<bool>> kept(values.size());
  std::vector<Entry> rest;
  long left = 0;
  for (const int tokensOfRow : wanted) left += tokensOfRow;
  for (std::size_t row = 0; row < values.size(); ++row) {
    std::vector<Entry> own;
    for (std::size_t i = 0; i < values[row].size(); ++i)
      own.push_back({values[row][i], tokens[row][i], static_cast<int>(row), static_cast<int>(i)});
    std::sort(own.begin(), own.end(), before);
    kept[row].assign(own.size(), false);
    const std::size_t first = std::min(own.size(), static_cast<std::size_t>(joint ? wanted[row] / 4 : wanted[row]));
    for (std::size_t i = 0; i < first; ++i) kept[row][static_cast<std::size_t>(own[i].position)] = true;
    left -= static_cast<long>(first);
    rest.insert(rest.end(), own.begin() + static_cast<std::ptrdiff_t>(first), own.end());
  }
  if (!joint) return kept;
  std::sort(rest.begin(), rest.end(), before);
  for (std::size_t i = 0; i < rest.size() && static_cast<long>(i) < left; ++i) {
    kept[static_cast<std::size_t>(rest[i].row)][static_cast<std::size_t>(rest[i].position)] = true;
  }
  return kept;
}

}  // namespace kvasir::test
