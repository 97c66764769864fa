#include "row_format.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "../cpu/attention/kernels.h"
#include "../cpu/simd/half.h"
#include "../runtime/machine.h"

namespace kvasir::tier {
namespace {

constexpr int kMaxHeadDim = 4096;
constexpr float kCodes = 127.0f;

}  // namespace

RowFormat::RowFormat(LowerType type, int headDim)
    : type_(type), headDim_(headDim), storeHalf_(attention::kernelsFor(runnableIsas().back()).storeHalf) {}

std::size_t RowFormat::rowBytes() const {
  return type_ == LowerType::f16 ? hotRowBytes() : static_cast<std::size_t>(headDim_) + sizeof(float);
}

std::size_t RowFormat::partBytes() const { return kPageTokens * rowBytes(); }

void RowFormat::encode(const float* row, int at, std::uint8_t* part) const {
  const std::size_t dim = static_cast<std::size_t>(headDim_), n = static_cast<std::size_t>(at);
  if (type_ == LowerType::f16) {
    storeHalf_(row, headDim_, reinterpret_cast<std::uint16_t*>(part + n * hotRowBytes()));
    return;
  }
  std::uint16_t halves[kMaxHeadDim];
  storeHalf_(row, headDim_, halves);
  float values[kMaxHeadDim];
  float most = 0.0f;
  bool hasNan = false;
  for (std::size_t i = 0; i < dim; ++i) {
    values[i] = halfToFloat(halves[i]);
    hasNan = hasNan || std::isnan(values[i]);
    most = std::fmax(most, std::fabs(values[i]));
  }
  const float scale = hasNan ? std::numeric_limits<float>::quiet_NaN() : most / kCodes;
  std::int8_t* codes = reinterpret_cast<std::int8_t*>(part + n * dim);
  for (std::size_t i = 0; i < dim; ++i) {
    // 0x1.8p23 leaves whole numbers, ties to even.
    codes[i] = hasNan || scale == 0.0f ? 0 : static_cast<std::int8_t>((values[i] / scale + 0x1.8p23f) - 0x1.8p23f);
  }
  std::memcpy(part + kPageTokens * dim + n * sizeof scale, &scale, sizeof scale);
}

void RowFormat::copyRow(const std::uint8_t* from, int at, std::uint8_t* to) const {
  const std::size_t n = static_cast<std::size_t>(at);
  const std::size_t values = type_ == LowerType::f16 ? hotRowBytes() : static_cast<std::size_t>(headDim_);
  std::memcpy(to + n * values, from + n * values, values);
  const std::size_t scale = kPageTokens * values + n * sizeof(float);
  if (type_ == LowerType::q8) std::memcpy(to + scale, from + scale, sizeof(float));
}

void RowFormat::decode(const std::uint8_t* part, int at, std::uint8_t* row) const {
  const std::size_t dim = static_cast<std::size_t>(headDim_), n = static_cast<std::size_t>(at);
  if (type_ == LowerType::f16) {
    std::memcpy(row, part + n * hotRowBytes(), hotRowBytes());
    return;
  }
  float scale;
  std::memcpy(&scale, part + kPageTokens * dim + n * sizeof scale, sizeof scale);
  const std::int8_t* codes = reinterpret_cast<const std::int8_t*>(part + n * dim);
  float values[kMaxHeadDim];
  for (std::size_t i = 0; i < dim; ++i) values[i] = static_cast<float>(codes[i]) * scale;
  storeHalf_(values, headDim_, reinterpret_cast<std::uint16_t*>(row));
}

}  // namespace kvasir::tier
