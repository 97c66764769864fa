#include "kernels.h"

namespace kvasir::selection {

const Kernels& kernelsFor(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx2) return avx2Kernels;
  if (isa == Isa::avx512) return avx512Kernels;
  if (isa == Isa::vnni) return vnniKernels;
#elif defined(__aarch64__)
  if (isa == Isa::neon) return neonKernels;
#endif
  (void)isa;
  return scalarKernels;
}

}  // namespace kvasir::selection
