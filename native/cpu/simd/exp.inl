// Exponentials of values <= 0, on any `Vec`. Relative error <= 2e-7; results below about 2^-126 are exactly 0,
// so -infinity gives 0; exp2(0) and exp(0) are exactly 1.
#pragma once

namespace kvasir {
namespace {

// 2^f on [-1/2, 1/2]: degree 5, constant term fixed at 1, minimax in relative error (1.1e-7).
inline Vec::F pow2Fraction(Vec::F f) {
  Vec::F p = Vec::set(0x1.5bba14p-10f);
  p = Vec::fma(p, f, Vec::set(0x1.3cea88p-7f));
  p = Vec::fma(p, f, Vec::set(0x1.c6b752p-5f));
  p = Vec::fma(p, f, Vec::set(0x1.ebf9bcp-3f));
  p = Vec::fma(p, f, Vec::set(0x1.62e42ap-1f));
  return Vec::fma(p, f, Vec::set(1.0f));
}

inline Vec::F exp2NonPositive(Vec::F x) {
  const Vec::F n = Vec::round(x);
  return Vec::scalePow2(pow2Fraction(Vec::sub(x, n)), n);
}

// log2(e) in two parts, so that x * log2(e) - n is exact to float32 for large x too.
inline Vec::F expNonPositive(Vec::F x) {
  const Vec::F high = Vec::set(0x1.715476p+0f), low = Vec::set(0x1.4ae0c0p-26f);
  const Vec::F n = Vec::round(Vec::mul(x, high));
  const Vec::F f = Vec::fma(x, low, Vec::fma(x, high, Vec::sub(Vec::zero(), n)));
  return Vec::scalePow2(pow2Fraction(f), n);
}

}  // namespace
}  // namespace kvasir
