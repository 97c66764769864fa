// What both decode loops share.
#pragma once

#include "kernels.h"
#include "simd_codes.h"

namespace kvasir::lin {
namespace {

// Calls body(Index<rows>) for rows = 1..Most.
template <int Most, class Body>
KVASIR_INLINE inline void withRows(int rows, const Body& body) {
  unroll<Most>([&](auto r) KVASIR_INLINE {
    if (rows == r + 1) body(Index<r + 1>{});
  });
}

// sums [V][Rows] -> out [Rows][16]
template <class S, int Rows>
KVASIR_INLINE inline void storeSums(const typename S::F (&sums)[vectorsPerGroup<S>][Rows], float* out) {
  KVASIR_UNROLL
  for (int v = 0; v < vectorsPerGroup<S>; ++v) {
    KVASIR_UNROLL
    for (int r = 0; r < Rows; ++r) S::storeFloats(out + r * groupRows + S::lanes * v, sums[v][r]);
  }
}

}  // namespace
}  // namespace kvasir::lin
