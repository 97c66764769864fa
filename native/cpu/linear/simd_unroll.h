// Loops unrolled by the compiler for certain: accumulators indexed in them stay in registers.
#pragma once

namespace kvasir::lin {
namespace {

template <int Value>
struct Index {
  constexpr operator int() const { return Value; }
};

#define KVASIR_INLINE __attribute__((always_inline))

// body(Index<0>), ..., body(Index<Count - 1>)
template <int Count, int From = 0, class Body>
KVASIR_INLINE inline void unroll(const Body& body) {
  if constexpr (From < Count) {
    body(Index<From>{});
    unroll<Count, From + 1>(body);
  }
}

}  // namespace
}  // namespace kvasir::lin
