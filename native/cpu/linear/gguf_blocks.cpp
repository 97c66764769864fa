#include "gguf_blocks.h"

#include "half.h"

namespace kvasir::lin {
namespace {

using Bytes = const std::uint8_t*;

constexpr std::int8_t iq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// 16 bytes hold columns 0..15 in their low and 16..31 in their high nibbles.
void readNibbles(Bytes q, FileBlock& block) {
  for (int j = 0; j < 16; ++j) {
    block.codes[j] = q[j] & 15;
    block.codes[j + 16] = q[j] >> 4;
  }
}

void addFifthBits(Bytes bits, FileBlock& block) {
  for (int j = 0; j < 32; ++j) block.codes[j] = static_cast<std::uint8_t>(block.codes[j] | (((bits[j / 8] >> (j % 8)) & 1) << 4));
}

// Q2_K: [16 x (scale 4 bits | min 4 bits)][64 bytes of 2-bit codes][f16 scale][f16 min scale]
void readQ2K(Bytes p, FileBlock& block) {
  for (int i = 0; i < 16; ++i) {
    block.factors[i] = p[i] & 15;
    block.minFactors[i] = p[i] >> 4;
  }
  for (int k = 0; k < 256; ++k) block.codes[k] = (p[16 + 32 * (k / 128) + k % 32] >> (2 * (k % 128 / 32))) & 3;
  block.scale = load16(p + 80);
  block.min = load16(p + 82);
}

// Q3_K: [32 bytes of high bits][64 bytes of 2-bit codes][16 x 6-bit scales in 12 bytes][f16 scale]
void readQ3K(Bytes p, FileBlock& block) {
  Bytes low = p + 32;
  Bytes scales = p + 96;
  for (int i = 0; i < 16; ++i) {
    const int lowBits = i < 8 ? scales[i] & 15 : scales[i - 8] >> 4;
    const int highBits = (scales[8 + i % 4] >> (2 * (i / 4))) & 3;
    block.factors[i] = static_cast<std::uint8_t>((lowBits | (highBits << 4)) - 32);
  }
  for (int k = 0; k < 256; ++k) {
    const int code = (low[32 * (k / 128) + k % 32] >> (2 * (k % 128 / 32))) & 3;
    const int high = (p[k % 32] >> (k / 32)) & 1;
    block.codes[k] = static_cast<std::uint8_t>(code + 4 * high - 4 + 32);
  }
  block.scale = load16(p + 108);
}

// Q4_K and Q5_K: 8 x (6-bit scale, 6-bit min) in 12 bytes
void readSixBitScales(Bytes p, FileBlock& block) {
  for (int i = 0; i < 4; ++i) {
    block.factors[i] = p[i] & 63;
    block.minFactors[i] = p[i + 4] & 63;
    block.factors[i + 4] = static_cast<std::uint8_t>((p[i + 8] & 15) | ((p[i] >> 6) << 4));
    block.minFactors[i + 4] = static_cast<std::uint8_t>((p[i + 8] >> 4) | ((p[i + 4] >> 6) << 4));
  }
}

// Q4_K: [f16 scale][f16 min scale][12 bytes of scales][128 bytes of nibbles]
// Q5_K: the same with 32 bytes of fifth bits before the nibbles
void readQ45K(Bytes p, bool five, FileBlock& block) {
  block.scale = load16(p);
  block.min = load16(p + 2);
  readSixBitScales(p + 4, block);
  Bytes fifth = p + 16;
  Bytes nibbles = p + (five ? 48 : 16);
  for (int k = 0; k < 256; ++k) {
    const std::uint8_t byte = nibbles[32 * (k / 64) + k % 32];
    int code = k % 64 < 32 ? byte & 15 : byte >> 4;
    if (five) code |= ((fifth[k % 32] >> (k / 32)) & 1) << 4;
    block.codes[k] = static_cast<std::uint8_t>(code);
  }
}

// Q6_K: [128 bytes of low nibbles][64 bytes of high bit pairs][16 x i8 scale][f16 scale]
void readQ6K(Bytes p, FileBlock& block) {
  for (int k = 0; k < 256; ++k) {
    const int half = k / 128, quarter = k % 128 / 32, l = k % 32;
    const std::uint8_t byte = p[64 * half + 32 * (quarter % 2) + l];
    const int low = quarter < 2 ? byte & 15 : byte >> 4;
    const int high = (p[128 + 32 * half + l] >> (2 * quarter)) & 3;
    block.codes[k] = static_cast<std::uint8_t>(low | (high << 4));
  }
  for (int i = 0; i < 16; ++i) block.factors[i] = p[192 + i];
  block.scale = load16(p + 208);
}

}  // namespace

int fileBlockCols(WeightType type) {
  switch (type) {
    case WeightType::f32:
    case WeightType::f16:
    case WeightType::bf16: return 1;
    case WeightType::q2_k:
    case WeightType::q3_k:
    case WeightType::q4_k:
    case WeightType::q5_k:
    case WeightType::q6_k: return 256;
    default: return 32;
  }
}

int fileBlockBytes(WeightType type) {
  switch (type) {
    case WeightType::f32: return 4;
    case WeightType::f16:
    case WeightType::bf16: return 2;
    case WeightType::q4_0:
    case WeightType::iq4_nl: return 18;
    case WeightType::q4_1: return 20;
    case WeightType::q5_0: return 22;
    case WeightType::q5_1: return 24;
    case WeightType::q8_0: return 34;
    case WeightType::q2_k: return 84;
    case WeightType::q3_k: return 110;
    case WeightType::q4_k: return 144;
    case WeightType::q5_k: return 176;
    case WeightType::q6_k: return 210;
  }
  return 0;
}

void readFileBlock(WeightType type, Bytes p, FileBlock& block) {
  switch (type) {
    case WeightType::q2_k: return readQ2K(p, block);
    case WeightType::q3_k: return readQ3K(p, block);
    case WeightType::q4_k: return readQ45K(p, false, block);
    case WeightType::q5_k: return readQ45K(p, true, block);
    case WeightType::q6_k: return readQ6K(p, block);
    default: break;
  }
  block.scale = load16(p);
  block.min = load16(p + 2);
  switch (type) {
    case WeightType::q4_0: return readNibbles(p + 2, block);
    case WeightType::q4_1: return readNibbles(p + 4, block);
    case WeightType::q5_0:
      readNibbles(p + 6, block);
      return addFifthBits(p + 2, block);
    case WeightType::q5_1:
      readNibbles(p + 8, block);
      return addFifthBits(p + 4, block);
    case WeightType::q8_0:
      for (int k = 0; k < 32; ++k) block.codes[k] = p[2 + k] ^ 0x80;
      return;
    case WeightType::iq4_nl:
      readNibbles(p + 2, block);
      for (int k = 0; k < 32; ++k) block.codes[k] = static_cast<std::uint8_t>(iq4Values[block.codes[k]] + 128);
      return;
    default: return;
  }
}

}  // namespace kvasir::lin
