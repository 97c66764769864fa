// How one KV head of a segment index lies in memory, and the numbers of its codes.
#pragma once

#include <cstddef>
#include <cstdint>

// Leaf files have wide flags: what they inline must have internal linkage.
namespace kvasir::selection {

// Statistics of a segment: mean [paddedDim] float16, deviation [paddedDim] uint8, step float32: e_i = byte_i * step.
static inline int statDim(int headDim) { return (headDim + 15) / 16 * 16; }
static inline std::size_t statBytes(int headDim) { return static_cast<std::size_t>(statDim(headDim)) * 3 + 4; }

// Codes: channels in units of 64, each unit a plane of one row a token, so that tokens of a plane are neighbours
// whatever the segments are. A row is 8 bytes a bit; byte b holds channels b, b + rowBytes, b + 2 rowBytes, ...
// of its unit, lowest bits first.
constexpr int kUnitChannels = 64;
static inline int codeUnits(int headDim) { return (headDim + kUnitChannels - 1) / kUnitChannels; }
static inline int rowBytes(int codeBits) { return 8 * codeBits; }
// Kernels read up to one vector beyond the last row.
constexpr std::size_t kCodeSlackBytes = 64;

// Level of a code = unit * (step(code) - zero). Two bits: steps 0 7 13 20, so that levels are -1.510 -0.453 0.453
// 1.510, the best four levels for a normal variable (Max 1960; 1.510 / 0.453 = 10 / 3 exactly). One bit: steps 0 2.
struct CodeScale {
  float unit;
  int zero;
};
static inline CodeScale codeScale(int codeBits) { return codeBits == 2 ? CodeScale{0.151f, 10} : CodeScale{0.798f, 1}; }
static inline int codeStep(int codeBits, int code) {
  constexpr int steps[4] = {0, 7, 13, 20};
  return codeBits == 2 ? steps[code] : 2 * code;
}
constexpr float kThreshold = 0.982f;  // beside 0

}  // namespace kvasir::selection
