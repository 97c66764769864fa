#include "memory.h"

#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#endif

namespace kvasir {
namespace {

constexpr std::size_t hugePage = std::size_t{2} << 20;

#if defined(__unix__) || defined(__APPLE__)

void* take(std::size_t bytes) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#if defined(MAP_NORESERVE)
  flags |= MAP_NORESERVE;
#endif
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (data == MAP_FAILED) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
  if (bytes >= hugePage) madvise(data, bytes, MADV_HUGEPAGE);
#endif
  return data;
}

void giveBack(void* data, std::size_t bytes) { munmap(data, bytes); }

#else

void* take(std::size_t bytes) {
  void* data = _aligned_malloc(bytes, 64);
  if (data == nullptr) throw std::bad_alloc();
  std::memset(data, 0, bytes);
  return data;
}

void giveBack(void* data, std::size_t) { _aligned_free(data); }

#endif

}  // namespace

Memory::Memory(std::size_t bytes) {
  if (bytes == 0) return;
  data_ = static_cast<std::uint8_t*>(take(bytes));
  bytes_ = bytes;
}

Memory::Memory(Memory&& other) noexcept { *this = std::move(other); }

Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

void Memory::release() {
  if (data_ != nullptr) giveBack(data_, bytes_);
  data_ = nullptr;
  bytes_ = 0;
}

}  // namespace kvasir
