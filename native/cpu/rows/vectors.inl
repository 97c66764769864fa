// Loops over a row of any length on any `Vec`.
#pragma once

namespace kvasir::rows {
namespace {

// Calls op(at, n) for each vector of [0, count): n = kLanes but for the last, which may be shorter.
template <class Op>
inline void eachVector(int count, Op op) {
  int at = 0;
  for (; at + Vec::kLanes <= count; at += Vec::kLanes) op(at, Vec::kLanes);
  if (at < count) op(at, count - at);
}

template <class T>
inline Vec::F loadUpTo(const T* p, int n) { return n == Vec::kLanes ? Vec::load(p) : Vec::loadPart(p, n); }
template <class T>
inline void storeUpTo(T* p, Vec::F x, int n) {
  if (n == Vec::kLanes) Vec::store(p, x);
  else Vec::storePart(p, x, n);
}

}  // namespace
}  // namespace kvasir::rows
