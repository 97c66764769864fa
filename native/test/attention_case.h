// Random shapes for attention tests, and a prefill of a whole cache.
#pragma once

#include "attention_cache.h"

namespace kvasir::test {

// A mean of `count` rows of normal values is about this long; one that cancels to less is no measure of an error.
inline double usualSize(int headDim, std::size_t count) {
  return 0.5 * std::sqrt(static_cast<double>(headDim) / std::max<std::size_t>(count, 1));
}

inline const int kHeadDims[] = {64, 128, 32, 80, 96, 256, 8, 16, 40, 72, 1, 7, 20};
inline const int kGroups[] = {3, 4, 1, 2, 7, 5, 8, 9};

inline Shape drawShape(Random& random) {
  return {drawInt(random, 1, 3), kGroups[drawInt(random, 0, 7)], kHeadDims[drawInt(random, 0, 12)],
          drawInt(random, 0, 3) == 0 ? KvType::f32 : KvType::f16};
}

inline float scaleOf(const Shape& shape) { return 1.0f / std::sqrt(static_cast<float>(shape.headDim)); }

inline std::vector<float> prefill(Context& context, const Cache& cache, const std::vector<float>& q,
                                  const std::vector<std::int32_t>& rowStarts, float scale, int window) {
  std::vector<float> out(q.size(), std::numeric_limits<float>::quiet_NaN());
  attendPrefill(context, cache.view, cache.shape.layer, q.data(), cache.shape.numHeads(), scale, window,
                cache.batch(rowStarts), out.data());
  return out;
}

}  // namespace kvasir::test
