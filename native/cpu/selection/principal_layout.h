// How one KV head of an index with basis principal lies in memory, and the numbers of its codes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "layout.h"

namespace kvasir::selection {

// The basis is made of the first segments that hold so many tokens.
constexpr int kBasisTokens = 256;
// Segments whose means lie side by side.
constexpr int kMeanLanes = 16;
constexpr int kWordBytes = 4;
// A word's channels in fours: what one product of bytes takes.
constexpr int kQuadChannels = 4;

// Codes of 16 tokens are vectors of 64 bytes, a word of 32 bits a token in each. A word holds 8 channels of four bits, 16
// of two or 32 of one, in fours: channel 4 n + b of a word has bits [n * bits, (n + 1) * bits) of byte b. First come the
// words of four bits, then of two, then of one; channels are in the order of their variance.
struct PrincipalLayout {
  int headDim;
  int words4, words2, words1;

  PrincipalLayout(int dim, int codeBits) : headDim(dim) {
    const int words = (codeBits * dim + 31) / 32;
    words4 = codeBits == 4 ? words : words / 2;
    words1 = 0;
    const int others = words - words4;
    for (int ones = 0; ones <= others; ++ones) {
      if (8 * words4 + 16 * (others - ones) + 32 * ones < dim) continue;
      words1 = ones;
      break;
    }
    words2 = others - words1;
  }

  int words() const { return words4 + words2 + words1; }
  // Room for channels in the words.
  int slots() const { return 8 * words4 + 16 * words2 + 32 * words1; }
  // Channels that have codes.
  int channels() const { return slots() < headDim ? slots() : headDim; }
  int bitsOf(int channel) const { return channel < 8 * words4 ? 4 : channel < 8 * words4 + 16 * words2 ? 2 : 1; }
  // Channels of a basis row in memory.
  int paddedChannels() const { return (channels() + 15) / 16 * 16; }
  // Bytes of a query head's weights, which are written 16 at a time.
  int weightStride() const {
    const int most = slots() > paddedChannels() ? slots() : paddedChannels();
    return (most + 15) / 16 * 16;
  }
  std::size_t blockBytes() const { return static_cast<std::size_t>(words()) * kBlockTokens * kWordBytes; }
  // A byte of a token's code and the shift of the channel in it.
  struct Place {
    std::size_t byte;  // from the first vector, for the token of lane 0
    int shift;
  };
  Place placeOf(int channel) const {
    const int bits = bitsOf(channel);
    const int first = bits == 4 ? 0 : bits == 2 ? 8 * words4 : 8 * words4 + 16 * words2;
    const int firstWord = bits == 4 ? 0 : bits == 2 ? words4 : words4 + words2;
    const int perWord = 32 / bits, word = firstWord + (channel - first) / perWord, at = (channel - first) % perWord;
    return {static_cast<std::size_t>(word) * kBlockTokens * kWordBytes + static_cast<std::size_t>(at % kQuadChannels),
            at / kQuadChannels * bits};
  }
};

// Best uniform step for a normal variable times 1.25: residuals have heavier tails. In deviations.
inline double principalUnit(int bits) { return bits == 4 ? 0.419 : bits == 2 ? 1.245 : 1.995; }
// A code x stands for (x - zero) steps.
inline float principalZero(int bits) { return static_cast<float>((1 << bits) - 1) * 0.5f; }

// Means in groups of 16 segments: [headDim][16] of float16, or of int8 with a step a segment.
static inline std::size_t meanGroupBytes(int headDim, int vectorBits) {
  return static_cast<std::size_t>(headDim) * kMeanLanes * static_cast<std::size_t>(vectorBits / 8);
}

}  // namespace kvasir::selection
