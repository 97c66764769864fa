#include "kernels.h"

namespace kvasir::lin {

// Levels of another architecture fall back to the reference.
LinearKernels kernelsOf(Isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::avx2: return {avx2Floats, avx2Bytes};
    case Isa::avx512: return {avx512Floats, avx512Bytes};
    case Isa::vnni: return {avx512Floats, vnniBytes};
#elif defined(__aarch64__)
    case Isa::neon: return {neonFloats, neonBytes};
#endif
    default: return {scalarFloats, scalarBytes};
  }
}

}  // namespace kvasir::lin
