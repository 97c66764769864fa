// Turns and copies of stored rows on any `Vec`: float16 in, float32 in between, float16 out. As in rotate.inl without
// fused multiply-add, so that every instruction set gives the same bits.
#pragma once

#include <cstring>

#include "vectors.inl"

namespace kvasir::rows {
namespace {

constexpr std::size_t kLine = 64;

inline void expect(const std::uint8_t* next, std::size_t bytes) {
  for (std::size_t at = 0; at < bytes; at += kLine) Vec::prefetch(next + at);
}

// turnRow(in, out) for every row, then the values beyond the pairs.
template <class TurnRow>
inline void eachRow(const TurnTask& task, TurnRow turnRow) {
  const std::size_t rowBytes = static_cast<std::size_t>(task.headDim) * sizeof *task.in;
  const std::size_t rest = rowBytes - 2 * static_cast<std::size_t>(task.pairs) * sizeof *task.in;
  const std::uint16_t* in = task.in;
  std::uint16_t* out = task.out;
  const std::uint8_t* next = task.next;
  for (int row = 0; row < task.rows; ++row, in += task.headDim, out += task.headDim, next += rowBytes) {
    expect(next, rowBytes);
    turnRow(in, out);
    if (rest > 0) std::memcpy(out + 2 * task.pairs, in + 2 * task.pairs, rest);
  }
}

template <bool kStreams>
inline void turnHalves(const TurnTask& task) {
  const int pairs = task.pairs;
  eachRow(task, [&](const std::uint16_t* in, std::uint16_t* out) {
    eachVector(pairs, [&](int i, int n) {
      const Vec::F a = loadUpTo(in + i, n), b = loadUpTo(in + pairs + i, n);
      const Vec::F c = loadUpTo(task.cos + i, n), s = loadUpTo(task.sin + i, n);
      const Vec::F first = Vec::sub(Vec::mul(a, c), Vec::mul(b, s)), second = Vec::add(Vec::mul(b, c), Vec::mul(a, s));
      if (kStreams) {
        Vec::stream(out + i, first);
        Vec::stream(out + pairs + i, second);
      } else {
        storeUpTo(out + i, first, n);
        storeUpTo(out + pairs + i, second, n);
      }
    });
  });
}

template <bool kStreams>
inline void turnPairs(const TurnTask& task) {
  eachRow(task, [&](const std::uint16_t* in, std::uint16_t* out) {
    eachVector(task.pairs, [&](int i, int n) {
      const bool whole = n == Vec::kLanes;
      std::uint16_t part[2 * Vec::kLanes] = {};
      if (!whole) std::memcpy(part, in + 2 * i, 2 * static_cast<std::size_t>(n) * sizeof *part);
      Vec::F a, b;
      Vec::loadPairs(whole ? in + 2 * i : part, a, b);
      const Vec::F c = loadUpTo(task.cos + i, n), s = loadUpTo(task.sin + i, n);
      const Vec::F first = Vec::sub(Vec::mul(a, c), Vec::mul(b, s)), second = Vec::add(Vec::mul(b, c), Vec::mul(a, s));
      if (kStreams) {
        Vec::streamPairs(out + 2 * i, first, second);
      } else if (whole) {
        Vec::storePairs(out + 2 * i, first, second);
      } else {
        Vec::storePairs(part, first, second);
        std::memcpy(out + 2 * i, part, 2 * static_cast<std::size_t>(n) * sizeof *part);
      }
    });
  });
}

void turnHalf(const TurnTask& task) { task.streams ? turnHalves<true>(task) : turnHalves<false>(task); }
void turnInterleaved(const TurnTask& task) { task.streams ? turnPairs<true>(task) : turnPairs<false>(task); }

void copyRows(const CopyTask& task) {
  if (!task.streams) {
    expect(task.next, task.bytes);
    std::memcpy(task.out, task.in, task.bytes);
    return;
  }
  for (std::size_t at = 0; at < task.bytes; at += kLine) {
    Vec::prefetch(task.next + at);
    Vec::streamLine(task.out + at, task.in + at);
  }
}

void settle() { Vec::settle(); }

}  // namespace
}  // namespace kvasir::rows
