#include "folded.h"
#include "kernels.h"
#include "principal_layout.h"

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

std::size_t principalEncodeBytes(int headDim) {
  const std::size_t padded = static_cast<std::size_t>((headDim + 15) / 16 * 16);
  return 2 * padded * padded * sizeof(double) + 4 * padded * sizeof(float);
}

std::size_t principalScanBytes(int headDim, int codeBits, int numSegments) {
  const PrincipalLayout layout(headDim, codeBits);
  // Groups at both ends are whole, and a spread reads one more.
  const int bases = (numSegments + kMeanLanes - 1) / kMeanLanes * kMeanLanes + 3 * kMeanLanes;
  const std::size_t floats = static_cast<std::size_t>(layout.paddedChannels() + bases);
  return kMaxHeadsAtOnce * (floats * sizeof(float) + static_cast<std::size_t>(layout.weightStride()));
}

}  // namespace kvasir::selection
