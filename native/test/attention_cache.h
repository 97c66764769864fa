// Pages with known contents for attention tests and benches: everything that was not written is NaN, physical pages
// are shuffled, and attention in float64 over the stored bits stands beside it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "kvasir/attention.h"

namespace kvasir::test {

using Random = std::mt19937;

inline int drawInt(Random& random, int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); }

inline std::vector<float> drawNormal(Random& random, std::size_t count, float scale = 1.0f) {
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// f16 that a correct conversion gives, by the definition: nearest, ties to even, saturating.
inline float toHalfAndBack(float x) {
  if (std::isnan(x)) return x;
  const double magnitude = std::min(std::fabs(static_cast<double>(x)), 65504.0);
  const int exponent = magnitude < 0x1p-14 ? -14 : std::ilogb(magnitude);
  const double unit = std::ldexp(1.0, exponent - 10);
  return static_cast<float>(std::copysign(std::nearbyint(magnitude / unit) * unit, x));
}

struct Shape {
  int numKvHeads;
  int group;
  int headDim;
  KvType type;
  int numLayers = 2;
  int layer = 1;
  int numHeads() const { return numKvHeads * group; }
};

// Rows of [page][layer][head][K|V][16][headDim]; where they lie is left to the caller.
inline KvView viewOf(const Shape& shape) {
  KvView view{};
  view.type = shape.type;
  view.numKvHeads = shape.numKvHeads;
  view.headDim = shape.headDim;
  view.valueStride = (shape.type == KvType::f16 ? 2 : 4) * kPageTokens * static_cast<std::size_t>(shape.headDim);
  view.headStride = 2 * view.valueStride;
  view.layerStride = view.headStride * static_cast<std::size_t>(shape.numKvHeads);
  view.pageStride = view.layerStride * static_cast<std::size_t>(shape.numLayers);
  return view;
}

// A cache of several sequences with shuffled pages, and the Batch that describes them.
class Cache {
 public:
  // keys, values of sequence s: [tokens[s]][numKvHeads][headDim]
  Cache(Context& context, Random& random, const Shape& s, const std::vector<int>& tokens, float scale = 1.0f)
      : shape(s), view(viewOf(s)) {
    pageStarts.push_back(0);
    for (int count : tokens) pageStarts.push_back(pageStarts.back() + (count + kPageTokens - 1) / kPageTokens);
    const int numPages = pageStarts.back() + 3;
    for (int page = 0; page < numPages; ++page) pages.push_back(page);
    std::shuffle(pages.begin(), pages.end(), random);
    memory.assign(view.pageStride * static_cast<std::size_t>(numPages) / 4 + 16, 0xffffffffu);  // NaN in both types
    view.base = reinterpret_cast<std::uint8_t*>(memory.data());
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const std::size_t size = static_cast<std::size_t>(tokens[i]) * s.numKvHeads * s.headDim;
      keys.push_back(drawNormal(random, size, scale));
      values.push_back(drawNormal(random, size, scale));
      write(context, static_cast<int>(i), 0, tokens[i]);
    }
    contextTokens.assign(tokens.begin(), tokens.end());
  }

  void write(Context& context, int sequence, int start, int end) {
    std::vector<std::int32_t> slots;
    for (int index = start; index < end; ++index) {
      slots.push_back(pages[static_cast<std::size_t>(pageStarts[sequence] + index / kPageTokens)] * kPageTokens +
                      index % kPageTokens);
    }
    const std::size_t from = static_cast<std::size_t>(start) * shape.numKvHeads * shape.headDim;
    writeKv(context, view, shape.layer, keys[sequence].data() + from, values[sequence].data() + from, slots.data(),
            end - start);
  }

  // The stored number behind a K or V row.
  float at(bool ofValues, int sequence, int index, int kvHead, int dim) const {
    const std::vector<float>& rows = (ofValues ? values : keys)[static_cast<std::size_t>(sequence)];
    const float x = rows[(static_cast<std::size_t>(index) * shape.numKvHeads + kvHead) * shape.headDim + dim];
    return shape.type == KvType::f16 ? toHalfAndBack(x) : x;
  }

  const std::uint8_t* keyRow(std::size_t sequence, int index, std::size_t kvHead) const {
    const std::size_t page = static_cast<std::size_t>(pages[static_cast<std::size_t>(pageStarts[sequence] + index / kPageTokens)]);
    return view.base + page * view.pageStride + static_cast<std::size_t>(shape.layer) * view.layerStride +
           kvHead * view.headStride + static_cast<std::size_t>(index % kPageTokens) * view.valueStride / kPageTokens;
  }

  Batch batch(const std::vector<std::int32_t>& rowStarts) const {
    return {static_cast<int>(contextTokens.size()), rowStarts.data(), contextTokens.data(), pageStarts.data(),
            pages.data()};
  }

  Shape shape;
  KvView view;
  std::vector<std::int32_t> pages, pageStarts, contextTokens;
  std::vector<std::vector<float>> keys, values;

 private:
  std::vector<std::uint32_t> memory;
};

// out [headDim] and lse of one query head over the given indices, in float64.
inline double attendExactly(const Cache& cache, int sequence, int kvHead, const float* q, double scale,
                            const std::vector<int>& indices, std::vector<double>& out) {
  const int headDim = cache.shape.headDim;
  std::vector<double> scores;
  double max = -std::numeric_limits<double>::infinity();
  for (int index : indices) {
    double score = 0.0;
    for (int i = 0; i < headDim; ++i) score += static_cast<double>(q[i]) * cache.at(false, sequence, index, kvHead, i);
    scores.push_back(score * scale);
    max = std::max(max, scores.back());
  }
  out.assign(static_cast<std::size_t>(headDim), 0.0);
  double sum = 0.0;
  for (std::size_t j = 0; j < indices.size(); ++j) {
    const double weight = std::exp(scores[j] - max);
    sum += weight;
    for (int i = 0; i < headDim; ++i)
      out[static_cast<std::size_t>(i)] += weight * cache.at(true, sequence, indices[j], kvHead, i);
  }
  for (double& x : out) x = indices.empty() ? 0.0 : x / sum;
  return indices.empty() ? max : max + std::log(sum);
}

// ||got - want|| / max(||want||, floor); NaN compares as infinitely wrong.
inline double relativeError(const float* got, const std::vector<double>& want, double floor = 0.0) {
  double difference = 0.0, size = 0.0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (!std::isfinite(got[i])) return std::numeric_limits<double>::infinity();
    difference += (got[i] - want[i]) * (got[i] - want[i]);
    size += want[i] * want[i];
  }
  const double length = std::max(std::sqrt(size), floor);
  return length > 0.0 ? std::sqrt(difference) / length : std::sqrt(difference);
}

inline bool sameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

}  // namespace kvasir::test
