// Scalar conversions of 16-bit floats, without any instruction set extension.
#pragma once

#include <cstdint>
#include <cstring>

namespace kvasir::lin {

static inline float fromBits(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

static inline std::uint32_t toBits(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

static inline float fromHalf(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  const std::uint32_t exponent = (half >> 10) & 31u;
  const std::uint32_t mantissa = half & 0x3ffu;
  if (exponent == 31) return fromBits(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) return fromBits(sign | ((exponent + 112) << 23) | (mantissa << 13));
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;  // zero and subnormals
  return sign ? -magnitude : magnitude;
}

static inline float fromBfloat(std::uint16_t bits) { return fromBits(static_cast<std::uint32_t>(bits) << 16); }

static inline std::uint16_t load16(const std::uint8_t* p) {
  return static_cast<std::uint16_t>(p[0] | (p[1] << 8));
}

static inline float loadHalf(const std::uint8_t* p) { return fromHalf(load16(p)); }

}  // namespace kvasir::lin
