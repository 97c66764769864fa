// One table per instruction set; a level that this build does not hold falls to the plain bodies.
#include "kernels.h"

namespace kvasir::lsh {

const Kernels& kernelsFor(Isa isa) {
  switch (isa) {
#if defined(__x86_64__) || defined(_M_X64)
    case Isa::avx2:
      return kernelsAvx2;
    case Isa::avx512:
      return kernelsAvx512;
    case Isa::vnni:
      // The first chips with VNNI count no bits.
      return __builtin_cpu_supports("avx512vpopcntdq") ? kernelsPopcnt : kernelsAvx512;
#elif defined(__aarch64__) || defined(_M_ARM64)
    case Isa::neon:
      return kernelsNeon;
#endif
    default:
      return kernelsScalar;
  }
}

}  // namespace kvasir::lsh
