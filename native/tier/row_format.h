// How 16 K rows, or 16 V rows, of one head are stored in a lower tier: a "part". Rows come up as float16.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kvasir::tier {

// f16: [16][headDim]. q8: codes int8 [16][headDim], then scales float32 [16]: value = code * scale, scale = the row's
// largest magnitude / 127, rounded to nearest even.
enum class LowerType : int { f16 = 0, q8 = 1 };

class RowFormat {
 public:
  RowFormat(LowerType type, int headDim);

  LowerType type() const { return type_; }
  std::size_t rowBytes() const;   // as stored
  std::size_t partBytes() const;  // 16 rows as stored
  std::size_t hotRowBytes() const { return static_cast<std::size_t>(headDim_) * 2; }

  // Stores a row [headDim] as row `at` of a part. Float16 conversion saturates; a row with a NaN comes back all NaN in
  // q8.
  void encode(const float* row, int at, std::uint8_t* part) const;

  // Copies a row from one part to another, as stored.
  void copyRow(const std::uint8_t* from, int at, std::uint8_t* to) const;

  // Row `at` of a part, as float16 [headDim].
  void decode(const std::uint8_t* part, int at, std::uint8_t* row) const;

 private:
  LowerType type_;
  int headDim_;
  void (*storeHalf_)(const float* in, int count, std::uint16_t* out);
};

}  // namespace kvasir::tier
