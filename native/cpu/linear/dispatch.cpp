#include "kernels.h"

namespace kvasir::lin {

// Levels of another architecture fall back to the reference.
const LinearKernels& kernelsOf(Isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::avx2: return avx2Kernels;
    case Isa::avx512: return avx512Kernels;
    case Isa::vnni: return vnniKernels;
#elif defined(__aarch64__)
    case Isa::neon: return neonKernels;
#endif
    default: return scalarKernels;
  }
}

}  // namespace kvasir::lin
