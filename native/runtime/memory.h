// Memory straight from the system: page-aligned, zeroed, taken only as it is touched.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kvasir {

class Memory {
 public:
  Memory() = default;
  // Throws std::bad_alloc. Large blocks ask for huge pages, which random access to them needs.
  explicit Memory(std::size_t bytes);
  ~Memory() { release(); }
  Memory(Memory&& other) noexcept;
  Memory& operator=(Memory&& other) noexcept;

  std::uint8_t* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  void release();

 private:
  std::uint8_t* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace kvasir
