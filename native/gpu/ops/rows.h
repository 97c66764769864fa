// Copies of rows of whole 16 bytes, 16 bytes a thread: what gatherRows, scatterRows and copyPieces have in common.
#pragma once

#include "../context/vocabulary.h"

namespace kvasir::gpu {

constexpr int kCopyThreads = 128;

// Threads that a row of `vectors` times 16 bytes gets: a power of two, so that a thread finds its place by shifts.
KVASIR_BOTH constexpr int lanesOf(std::size_t vectors) {
  int lanes = 1;
  while (static_cast<std::size_t>(lanes) < vectors && lanes < kCopyThreads) lanes *= 2;
  return lanes;
}

KVASIR_BOTH constexpr int log2Of(int powerOfTwo) {
  int log = 0;
  while ((1 << log) < powerOfTwo) ++log;
  return log;
}

inline unsigned boundedGrid(long long blocks, int maxBlocks) {
  const long long bound = maxBlocks > 0 ? maxBlocks : 0x7fffffffLL;
  return static_cast<unsigned>(least(blocks, bound));
}

}  // namespace kvasir::gpu
