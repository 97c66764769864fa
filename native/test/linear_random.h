// Random GGUF weights of every type, packed and ready, for the linear tests and benchmarks.
#pragma once

#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "../cpu/linear/gguf_blocks.h"
#include "kvasir/linear.h"

namespace kvasir::test {

struct NamedType {
  WeightType type;
  const char* name;
};

inline constexpr NamedType weightTypes[] = {
    {WeightType::f32, "F32"},   {WeightType::f16, "F16"},   {WeightType::bf16, "BF16"}, {WeightType::q4_0, "Q4_0"},
    {WeightType::q4_1, "Q4_1"}, {WeightType::q5_0, "Q5_0"}, {WeightType::q5_1, "Q5_1"}, {WeightType::q8_0, "Q8_0"},
    {WeightType::q2_k, "Q2_K"}, {WeightType::q3_k, "Q3_K"}, {WeightType::q4_k, "Q4_K"}, {WeightType::q5_k, "Q5_K"},
    {WeightType::q6_k, "Q6_K"}, {WeightType::iq4_nl, "IQ4_NL"}};

using Random = std::mt19937_64;

inline int between(Random& random, int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); }

inline std::vector<float> randomFloats(Random& random, std::size_t count, float sigma = 1) {
  std::normal_distribution<float> normal(0, sigma);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// An f16 of either sign around 2^-5; now and then zero or subnormal, as real files have them.
inline std::uint16_t randomHalf(Random& random) {
  const int kind = between(random, 0, 30);
  if (kind == 0) return 0;
  if (kind == 1) return static_cast<std::uint16_t>(between(random, 1, 1023));
  return static_cast<std::uint16_t>(between(random, 0, 1) << 15 | between(random, 9, 11) << 10 | between(random, 0, 1023));
}

// rows x cols of blocks as a file holds them.
inline std::vector<std::uint8_t> randomFileRows(Random& random, WeightType type, int rows, int cols) {
  const int blockBytes = lin::fileBlockBytes(type);
  const std::size_t blocks = static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols / lin::fileBlockCols(type));
  std::vector<std::uint8_t> bytes(blocks * static_cast<std::size_t>(blockBytes) + 1);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
  const auto putHalf = [&](std::size_t at) {
    const std::uint16_t half = randomHalf(random);
    std::memcpy(&bytes[at], &half, 2);
  };
  for (std::size_t b = 0; b < blocks; ++b) {
    const std::size_t at = b * static_cast<std::size_t>(blockBytes);
    switch (type) {
      case WeightType::f32: {
        const float value = std::normal_distribution<float>(0, 0.1f)(random);
        std::memcpy(&bytes[at], &value, 4);
        break;
      }
      case WeightType::bf16: {
        const float value = std::normal_distribution<float>(0, 0.1f)(random);
        std::memcpy(&bytes[at], reinterpret_cast<const char*>(&value) + 2, 2);
        break;
      }
      case WeightType::q2_k: putHalf(at + 80), putHalf(at + 82); break;
      case WeightType::q3_k: putHalf(at + 108); break;
      case WeightType::q6_k: putHalf(at + 208); break;
      case WeightType::q4_1:
      case WeightType::q5_1:
      case WeightType::q4_k:
      case WeightType::q5_k: putHalf(at), putHalf(at + 2); break;
      default: putHalf(at); break;
    }
  }
  return bytes;
}

// A packed weight that owns its memory.
struct OwnedWeight {
  Weight weight;
  std::uint8_t* memory;

  OwnedWeight(WeightType type, int rows, int cols, Isa isa, const std::vector<std::uint8_t>& file) {
    const std::size_t bytes = packedBytes(type, rows, cols, isa);
    memory = static_cast<std::uint8_t*>(std::aligned_alloc(64, (bytes + 64) / 64 * 64));
    std::memset(memory, 0xcd, bytes);
    const std::size_t rowBytes = static_cast<std::size_t>(cols / lin::fileBlockCols(type)) * static_cast<std::size_t>(lin::fileBlockBytes(type));
    for (int first = 0; first < rows; first += 64) {
      const int count = rows - first < 64 ? rows - first : 64;
      packRows(type, rows, cols, isa, first, count, file.data() + static_cast<std::size_t>(first) * rowBytes, memory);
    }
    weight = {type, rows, cols, isa, memory};
  }
  ~OwnedWeight() { std::free(memory); }
  OwnedWeight(const OwnedWeight&) = delete;
  OwnedWeight& operator=(const OwnedWeight&) = delete;
};

}  // namespace kvasir::test
