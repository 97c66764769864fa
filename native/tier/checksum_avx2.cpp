#if defined(__x86_64__)

#include <immintrin.h>

#include <cstring>

#include "checksum.h"

namespace kvasir::tier {

std::uint32_t checksumByInstruction(const std::uint8_t* data, std::size_t bytes) {
  std::uint64_t rest = 0xffffffffu;
  std::size_t at = 0;
  for (; at + 8 <= bytes; at += 8) {
    std::uint64_t word;
    std::memcpy(&word, data + at, 8);
    rest = _mm_crc32_u64(rest, word);
  }
  std::uint32_t tail = static_cast<std::uint32_t>(rest);
  for (; at < bytes; ++at) tail = _mm_crc32_u8(tail, data[at]);
  return ~tail;
}

}  // namespace kvasir::tier

#endif
