// CRC-32C (Castagnoli polynomial, RFC 3720) of stored parts.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kvasir::tier {

// With the machine's instruction where it has one.
std::uint32_t checksum(const std::uint8_t* data, std::size_t bytes);

// By a table: the same numbers on any machine.
std::uint32_t checksumByTable(const std::uint8_t* data, std::size_t bytes);

#if defined(__x86_64__)
// Needs AVX2 machines, all of which have the instruction.
std::uint32_t checksumByInstruction(const std::uint8_t* data, std::size_t bytes);
#endif

}  // namespace kvasir::tier
