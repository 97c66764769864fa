// Numbers as a body computes with them: halves, bytes, and what the device has an instruction for.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "../../cpu/simd/half.h"
#include "emulated_shared.h"
#include "vocabulary.h"

namespace kvasir::gpu::emulated {

struct Maths {
  static float toFloat(Half half) { return halfToFloat(half.bits); }
  // Nearest even; beyond the range +-65504. NaN has the bits of a device.
  static Half toHalf(float value) { return {value != value ? std::uint16_t{0x7fff} : floatToHalf(value)}; }
  // Two of them in a word, the first one low.
  static void toFloats(std::uint32_t halves, float& first, float& second) {
    first = halfToFloat(static_cast<std::uint16_t>(halves));
    second = halfToFloat(static_cast<std::uint16_t>(halves >> 16));
  }
  static std::uint32_t toHalves(float first, float second) {
    return toHalf(first).bits | static_cast<std::uint32_t>(toHalf(second).bits) << 16;
  }
  // Four bytes as float16, the lower two in one word.
  template <bool kSigned>
  static void bytesToHalves(std::uint32_t bytes, std::uint32_t& low, std::uint32_t& high) {
    float values[4];
    for (int i = 0; i < 4; ++i) {
      const std::uint8_t byte = static_cast<std::uint8_t>(bytes >> (8 * i));
      values[i] = kSigned ? static_cast<float>(static_cast<std::int8_t>(byte)) : static_cast<float>(byte);
    }
    low = toHalves(values[0], values[1]);
    high = toHalves(values[2], values[3]);
  }
  // a0 b0 a1 b1 and a2 b2 a3 b3, lowest byte first.
  static void interleaveBytes(std::uint32_t a, std::uint32_t b, std::uint32_t& low, std::uint32_t& high) {
    low = high = 0;
    for (int i = 0; i < 2; ++i) {
      low |= (a >> (8 * i) & 0xffu) << (16 * i) | (b >> (8 * i) & 0xffu) << (16 * i + 8);
      high |= (a >> (8 * i + 16) & 0xffu) << (16 * i) | (b >> (8 * i + 16) & 0xffu) << (16 * i + 8);
    }
  }
  // toHalves of values within the range alone.
  static std::uint32_t roundToHalves(float first, float second) {
    if (std::fabs(first) > 65504.0f || std::fabs(second) > 65504.0f) throw Fault{"roundToHalves: beyond the range"};
    return toHalves(first, second);
  }
  // Pairs of f16 in words; each rounds once, beyond the range to infinities.
  static std::uint32_t addHalves(std::uint32_t a, std::uint32_t b) {
    return eachHalf(a, b, 0, [](double x, double y, double) { return x + y; });
  }
  static std::uint32_t multiplyHalves(std::uint32_t a, std::uint32_t b) {
    return eachHalf(a, b, 0, [](double x, double y, double) { return x * y; });
  }
  static std::uint32_t fmaHalves(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
    return eachHalf(a, b, c, [](double x, double y, double z) { return x * y + z; });
  }
  static float asFloat(std::uint32_t bits) { return bitsAs<float>(bits); }
  static std::uint32_t asBits(float value) { return bitsAs<std::uint32_t>(value); }

  static float fma(float a, float b, float c) { return std::fma(a, b, c); }
  // Two units in the last place, and one: what the manual allows a device.
  static float exp2(float x) { return offBy(std::exp2(x), x, 2); }
  static float log2(float x) { return offBy(std::log2(x), x, 1); }
  // 2^-22 of the result, subnormals to zero; and 2^-22 next to 1, where it is absolute.
  static float exp2Approx(float x) {
    const float y = offBy(std::exp2(x), x, 2);
    return y < 0x1p-126f ? 0.0f : y;
  }
  static float log2Approx(float x) {
    const float y = std::log2(x);
    return std::fabs(y) < 1.0f && y != std::nearbyint(y) ? y + (asBits(x) % 2 == 0 ? 0x1p-22f : -0x1p-22f) : offBy(y, x, 2);
  }
  static float sqrt(float x) { return std::sqrt(x); }
  // The other one where one is NaN.
  static float max(float a, float b) { return std::fmax(a, b); }
  static float min(float a, float b) { return std::fmin(a, b); }
  static float abs(float x) { return std::fabs(x); }
  static double sqrt(double x) { return std::sqrt(x); }
  // sum + |a - b| of each of four bytes.
  static std::uint32_t addByteDifferences(std::uint32_t a, std::uint32_t b, std::uint32_t sum) {
    for (int shift = 0; shift < 32; shift += 8) {
      const std::uint32_t left = a >> shift & 255u, right = b >> shift & 255u;
      sum += left < right ? right - left : left - right;
    }
    return sum;
  }
  static int popcount(std::uint32_t bits) { return __builtin_popcount(bits); }
  // sum + products of the four signed bytes of both.
  static int dot4(std::uint32_t a, std::uint32_t b, int sum) {
    for (int shift = 0; shift < 32; shift += 8) {
      sum += static_cast<std::int8_t>(a >> shift) * static_cast<std::int8_t>(b >> shift);
    }
    return sum;
  }
  // As tensor cores of 8.0 add eight products and what was there: all are cut to the last bit of the largest, and the sum is
  // cut to f32, so errors go one way (Fasi and others, PeerJ Computer Science 7:e330). Newer ones keep more bits.
  static float sumOfMma(const double (&terms)[9]) {
    double largest = 0.0, sum = 0.0;
    for (const double term : terms) largest = std::fabs(term) > largest ? std::fabs(term) : largest;
    for (const double term : terms) sum += term;
    if (largest == 0.0 || !std::isfinite(sum)) return static_cast<float>(sum);
    const std::uint64_t exponent = bitsAs<std::uint64_t>(largest) >> 52;
    const double unit = bitsAs<double>((exponent - 23) << 52), inverse = bitsAs<double>((2046 - exponent + 23) << 52);
    std::int64_t units = 0;
    for (const double term : terms) units += static_cast<std::int64_t>(term * inverse);
    sum = static_cast<double>(units) * unit;
    const float rounded = static_cast<float>(sum);
    return std::fabs(static_cast<double>(rounded)) > std::fabs(sum) ? std::nextafter(rounded, 0.0f) : rounded;
  }
  static int leadingZeros(std::uint32_t bits) { return bits == 0 ? 32 : __builtin_clz(bits); }

 private:
  // A result as far from the exact one as a device may be, up or down by the bits of x. Powers of two and their logarithms
  // are exact, as those of the units that devices have.
  static float offBy(float y, float x, int units) {
    if (y == 0.0f || !std::isfinite(y) || x == std::nearbyint(x) || y == std::nearbyint(y)) return y;
    const float toward = (asBits(x) * 2654435761u >> 31) == 0 ? INFINITY : 0.0f;
    for (int i = 0; i < units; ++i) y = std::nextafter(y, toward);
    return y;
  }

  template <class Compute>
  static std::uint32_t eachHalf(std::uint32_t a, std::uint32_t b, std::uint32_t c, Compute compute) {
    const auto number = [](std::uint32_t words, int shift) {
      return static_cast<double>(halfToFloat(static_cast<std::uint16_t>(words >> shift)));
    };
    std::uint32_t pair = 0;
    for (int shift = 0; shift < 32; shift += 16) {
      // To f32 to odd, so that the second rounding cannot undo the first.
      const double exact = compute(number(a, shift), number(b, shift), number(c, shift));
      float value = static_cast<float>(exact);
      if (std::isfinite(value) && static_cast<double>(value) != exact && bitsAs<std::uint32_t>(value) % 2 == 0) {
        value = std::nextafter(value, exact > static_cast<double>(value) ? INFINITY : -INFINITY);
      }
      const std::uint32_t infinite = 0x7c00u | (value < 0.0f ? 0x8000u : 0u);
      pair |= (std::fabs(value) >= 65520.0f ? infinite : toHalf(value).bits) << shift;
    }
    return pair;
  }

  template <class To, class From>
  static To bitsAs(From from) {
    To to;
    static_assert(sizeof(To) == sizeof(From), "same bits");
    std::memcpy(&to, &from, sizeof(To));
    return to;
  }
};

}  // namespace kvasir::gpu::emulated
