#include "checksum.h"

#include <array>

#include "../runtime/machine.h"

namespace kvasir::tier {
namespace {

constexpr std::uint32_t kPolynomial = 0x82f63b78u;  // bits reversed

std::array<std::uint32_t, 256> makeTable() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t rest = byte;
    for (int bit = 0; bit < 8; ++bit) rest = rest >> 1 ^ (rest & 1 ? kPolynomial : 0);
    table[byte] = rest;
  }
  return table;
}

using Checksum = std::uint32_t (*)(const std::uint8_t* data, std::size_t bytes);

Checksum best() {
#if defined(__x86_64__)
  if (runnableIsas().back() != Isa::scalar) return checksumByInstruction;
#endif
  return checksumByTable;
}

}  // namespace

std::uint32_t checksumByTable(const std::uint8_t* data, std::size_t bytes) {
  static const std::array<std::uint32_t, 256> table = makeTable();
  std::uint32_t rest = ~0u;
  for (std::size_t i = 0; i < bytes; ++i) rest = rest >> 8 ^ table[(rest ^ data[i]) & 0xff];
  return ~rest;
}

std::uint32_t checksum(const std::uint8_t* data, std::size_t bytes) {
  static const Checksum body = best();
  return body(data, bytes);
}

}  // namespace kvasir::tier
