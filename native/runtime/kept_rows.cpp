#include "kept_rows.h"

#include <algorithm>
#include <atomic>

namespace kvasir {
namespace {

constexpr int kWordBits = 64;

std::size_t wordsOf(int tokens) { return (static_cast<std::size_t>(tokens) + kWordBits - 1) / kWordBits; }

std::uint64_t nextVersion() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

// Bits [first, end) of a row of words.
void setBits(std::uint64_t* words, int first, int end) {
  for (int at = first; at < end; ++at) words[at / kWordBits] |= std::uint64_t{1} << (at % kWordBits);
}

}  // namespace

void KeptRows::set(int layer, const RunRows& rows, int endTokens) {
  Layer& known = layers_[static_cast<std::size_t>(layer)];
  const int end = std::max(known.endTokens, endTokens);
  const std::size_t stride = wordsOf(end), knownStride = wordsOf(known.endTokens);
  std::vector<std::uint64_t> bits(static_cast<std::size_t>(numKvHeads_) * stride, 0);
  for (int head = 0; head < numKvHeads_; ++head) {
    std::uint64_t* words = bits.data() + static_cast<std::size_t>(head) * stride;
    for (int run = rows.rowStarts[head]; run < rows.rowStarts[head + 1]; ++run) {
      const int first = rows.runs[run].page * kPageTokens + rows.runs[run].first;
      setBits(words, first, std::min(first + rows.runs[run].len, endTokens));
    }
    setBits(words, endTokens, static_cast<int>(stride) * kWordBits);
    const std::uint64_t* before = known.bits.data() + static_cast<std::size_t>(head) * knownStride;
    for (std::size_t i = 0; i < knownStride; ++i) words[i] &= before[i];
  }
  known.endTokens = end;
  known.bits = std::move(bits);
  known.version = nextVersion();
}

std::int64_t KeptRows::heldTokens(int layer) const {
  const Layer& known = layers_[static_cast<std::size_t>(layer)];
  const std::size_t stride = wordsOf(known.endTokens);
  std::int64_t held = 0;
  for (const std::uint64_t word : known.bits) held += __builtin_popcountll(word);
  return held - numKvHeads_ * (static_cast<std::int64_t>(stride) * kWordBits - known.endTokens);
}

void KeptRows::truncate(int numTokens) {
  for (Layer& known : layers_) {
    if (known.endTokens <= numTokens) continue;
    const std::size_t stride = wordsOf(numTokens), knownStride = wordsOf(known.endTokens);
    for (int head = 0; head < numKvHeads_; ++head) {
      std::uint64_t* words = known.bits.data() + static_cast<std::size_t>(head) * stride;
      std::copy_n(known.bits.data() + static_cast<std::size_t>(head) * knownStride, stride, words);
      setBits(words, numTokens, static_cast<int>(stride) * kWordBits);
    }
    known.bits.resize(static_cast<std::size_t>(numKvHeads_) * stride);
    known.endTokens = numTokens;
    known.version = nextVersion();
  }
}

KeptView KeptRows::view(int layer) const {
  const Layer& known = layers_[static_cast<std::size_t>(layer)];
  return {known.bits.data(), wordsOf(known.endTokens), known.endTokens};
}

void keepRuns(const ChosenRuns& list, const KeptView& kept, int headsPerKvHead, int current, ChosenRuns& out) {
  const int numRows = static_cast<int>(list.rowStarts.size()) - 1;
  out.rowStarts.assign(1, 0);
  out.runs.clear();
  for (int row = 0; row < numRows; ++row) {
    for (int i = list.rowStarts[row]; i < list.rowStarts[row + 1]; ++i) {
      const KvRun& run = list.runs[i];
      std::uint32_t page = kept.pageBits(row / headsPerKvHead, run.page);
      if (run.page == current / kPageTokens) page |= 1u << (current % kPageTokens);
      page &= ((1u << run.len) - 1u) << run.first;
      while (page != 0) {
        const int first = __builtin_ctz(page), len = __builtin_ctz(~(page >> first));
        out.runs.push_back({run.page, first, len});
        page &= ~(((1u << len) - 1u) << first);
      }
    }
    out.rowStarts.push_back(static_cast<std::int32_t>(out.runs.size()));
  }
}

}  // namespace kvasir
