// Loops unrolled for certain, so that accumulators indexed in them stay in registers.
#pragma once

// Before a loop with a constant count.
#if defined(__clang__)
#define KVASIR_UNROLL _Pragma("clang loop unroll(full)")
#else
#define KVASIR_UNROLL _Pragma("GCC unroll 32")
#endif

namespace kvasir::lin {
namespace {

template <int Value>
struct Index {
  constexpr operator int() const { return Value; }
};

#define KVASIR_INLINE __attribute__((always_inline))

// body(Index<0>), ..., body(Index<Count - 1>): for bodies that need the index at compile time.
template <int Count, int From = 0, class Body>
KVASIR_INLINE inline void unroll(const Body& body) {
  if constexpr (From < Count) {
    body(Index<From>{});
    unroll<Count, From + 1>(body);
  }
}

}  // namespace
}  // namespace kvasir::lin
