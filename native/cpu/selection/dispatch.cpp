#include "folded.h"
#include "kernels.h"
#include "layout.h"

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

std::size_t scanWorkBytes(int headDim, int numSegments) {
  const std::size_t weights = static_cast<std::size_t>(codeUnits(headDim) * kUnitChannels * kMaxHeadsAtOnce);
  return static_cast<std::size_t>(numSegments) * (sizeof(FoldedSegment) + weights);
}

}  // namespace kvasir::selection
