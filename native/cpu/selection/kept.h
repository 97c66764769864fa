// Which rows are kept: loops over KeptView. Its end may have been lowered, so bits beyond it say nothing.
#pragma once

#include <algorithm>

#include "kvasir/attention.h"

namespace kvasir::selection {

inline bool isKept(const KeptView& kept, int kvHead, int index) {
  return index >= kept.endTokens || kept.keeps(kvHead, index);
}

// The row of the current token always stands.
inline SelectInput withCurrentRow(SelectInput input) {
  input.kept.endTokens = std::min(input.kept.endTokens, input.numTokens - 1);
  return input;
}

// Calls dropped(index) for each index of [from, to) that a KV head no longer keeps, ascending.
template <class Dropped>
void forEachDropped(const KeptView& kept, int kvHead, int from, int to, Dropped&& dropped) {
  const int end = std::min(to, kept.endTokens);
  for (int at = from; at < end;) {
    const int word = at / 64, next = std::min(end, (word + 1) * 64);
    std::uint64_t bits = ~kept.bits[static_cast<std::size_t>(kvHead) * kept.stride + static_cast<std::size_t>(word)];
    bits &= ~std::uint64_t{0} << (at % 64);
    if (next % 64 != 0) bits &= (std::uint64_t{1} << (next % 64)) - 1;
    for (; bits != 0; bits &= bits - 1) dropped(word * 64 + __builtin_ctzll(bits));
    at = next;
  }
}

inline int countKept(const KeptView& kept, int kvHead, int from, int to) {
  int count = std::max(0, to - from);
  if (!kept.keepsAll()) forEachDropped(kept, kvHead, from, to, [&](int) { --count; });
  return count;
}

// Calls span(start, end) for the stretches of [from, to) that are kept, ascending.
template <class Span>
void forEachKeptSpan(const KeptView& kept, int kvHead, int from, int to, Span&& span) {
  int start = from;
  forEachDropped(kept, kvHead, from, to, [&](int index) {
    if (index > start) span(start, index);
    start = index + 1;
  });
  if (to > start) span(start, to);
}

}  // namespace kvasir::selection
