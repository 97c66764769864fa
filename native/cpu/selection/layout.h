// How one KV head of a segment index lies in memory, and the numbers of its codes.
#pragma once

#include <cstddef>
#include <cstdint>

// Leaf files have wide flags: what they inline must have internal linkage.
namespace kvasir::selection {

// Statistics of a segment. Vectors of 16 bits: mean [padded] float16, deviation [padded] uint8. Vectors of 8 bits: mean
// [padded] int8, deviation [padded / 2] of four bits, byte b of 16 channels holds b and b + 8, lowest bits first. Then
// three float16 of the tail: a deviation is step * (its byte, or kDeviations of its four bits), a mean of 8 bits is
// step * int8, and no key is farther from its estimate than the radius.
struct StatsTail {
  std::uint16_t deviationStep;
  std::uint16_t meanStep;
  std::uint16_t radius;
};
static inline int statDim(int headDim) { return (headDim + 15) / 16 * 16; }
static inline std::size_t meanBytes(int headDim, int vectorBits) {
  return static_cast<std::size_t>(statDim(headDim)) * static_cast<std::size_t>(vectorBits / 8);
}
static inline std::size_t deviationBytes(int headDim, int vectorBits) {
  return static_cast<std::size_t>(statDim(headDim)) / (vectorBits == 16 ? 1 : 2);
}
static inline std::size_t statBytes(int headDim, int vectorBits) {
  return meanBytes(headDim, vectorBits) + deviationBytes(headDim, vectorBits) + sizeof(StatsTail);
}
// Two steps an octave: a channel's deviation is at most a fifth off, and codes are made against what is stored.
constexpr std::uint8_t kDeviations[16] = {255, 180, 128, 90, 64, 45, 32, 23, 16, 11, 8, 6, 4, 3, 2, 0};

// Codes: channels in units of 64, each unit a plane of one row a token, so that tokens of a plane are neighbours
// whatever the segments are. A row is 8 bytes a bit; byte b holds channels b, b + rowBytes, b + 2 rowBytes, ...
// of its unit, lowest bits first.
constexpr int kUnitChannels = 64;
static inline int codeUnits(int headDim) { return (headDim + kUnitChannels - 1) / kUnitChannels; }
static inline int rowBytes(int codeBits) { return 8 * codeBits; }
// Kernels read whole blocks: storage has room for one behind the last token.
constexpr int kBlockTokens = 16;

// Level of a code = unit * (step(code) - zero). Best levels for a normal variable (Max 1960): two bits -1.510 -0.453
// 0.453 1.510 (10 / 3 exactly), one bit -0.798 0.798; four bits the best whole steps, mean squared error 0.0097 where
// the optimum is 0.0095. No step is above 64, so that 4 * 127 * 64 fits in 16 bits.
struct CodeScale {
  float unit;
  int zero;
};
static inline CodeScale codeScale(int codeBits) {
  return codeBits == 4 ? CodeScale{0.094f, 29} : codeBits == 2 ? CodeScale{0.151f, 10} : CodeScale{0.798f, 1};
}
constexpr std::int8_t kSteps4[16] = {0, 7, 12, 16, 19, 22, 25, 28, 30, 33, 36, 39, 42, 46, 51, 58};
static inline int codeStep(int codeBits, int code) {
  constexpr int steps[4] = {0, 7, 13, 20};
  return codeBits == 4 ? kSteps4[code] : codeBits == 2 ? steps[code] : 2 * code;
}
// A code is the number of thresholds that its residual reaches; they are symmetric, and one of them is 0.
constexpr float kThreshold2 = 0.982f;
constexpr float kThresholds4[7] = {0.235f, 0.517f, 0.799f, 1.081f, 1.41f, 1.833f, 2.397f};

}  // namespace kvasir::selection
