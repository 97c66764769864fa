// What both contexts, and the ops, share. No CUDA header, no STL container.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#if defined(__CUDACC__)
#define KVASIR_DEVICE __device__ __forceinline__
#define KVASIR_BOTH __host__ __device__ __forceinline__
#define KVASIR_UNROLL _Pragma("unroll")
#else
#define KVASIR_DEVICE inline
#define KVASIR_BOTH inline
#define KVASIR_UNROLL
#endif

namespace kvasir::gpu {

constexpr int kWarp = 32;
// What every device of 8.0 and newer gives a block, and a launch for arguments.
constexpr unsigned kMostSharedBytes = 99 * 1024;
constexpr std::size_t kMostArgsBytes = 4096;

// How a kernel is launched: a pure function of the arguments. Its threads a block are the kernel's own kThreads.
struct Plan {
  unsigned gridX = 1;
  unsigned gridY = 1;
  unsigned sharedBytes = 0;
};

struct alignas(16) Vec16 {
  std::uint32_t word[4];
};

struct alignas(8) Vec8 {
  std::uint32_t word[2];
};

// One float16 as bits: bodies convert through the context.
struct Half {
  std::uint16_t bits;
};

// A register of a thread: a member pointer, or a function of the registers that gives a reference.
template <class Regs, class Access>
KVASIR_BOTH auto& field(Regs& regs, const Access& access) {
  if constexpr (std::is_member_object_pointer_v<Access>) {
    return regs.*access;
  } else {
    return access(regs);
  }
}

KVASIR_BOTH constexpr std::size_t wide(int n) { return static_cast<std::size_t>(n); }

// Whether every device can launch a kernel struct.
template <class Kernel>
constexpr void requireLaunchable() {
  static_assert(Kernel::kThreads % kWarp == 0 && Kernel::kThreads <= 1024, "blocks of whole warps");
  static_assert(Kernel::kSharedBytes <= kMostSharedBytes, "more shared memory than devices of 8.6, 8.9 and 12.0 have");
  static_assert(sizeof(typename Kernel::Args) <= kMostArgsBytes && std::is_trivially_copyable_v<typename Kernel::Args>,
                "arguments are plain data of at most 4 KiB");
}

template <class T>
KVASIR_BOTH constexpr T ceilDiv(T value, T by) {
  return (value + by - 1) / by;
}

template <class T>
KVASIR_BOTH constexpr T least(T a, T b) {
  return b < a ? b : a;
}

template <class T>
KVASIR_BOTH constexpr T most(T a, T b) {
  return a < b ? b : a;
}

}  // namespace kvasir::gpu
