#if defined(__x86_64__)
#include "../simd/vec_avx512.h"
#include "codes_avx512.h"
#include "token_lanes_avx512.h"

namespace kvasir::selection {
namespace {
using Codes = Codes512<MaddDots>;
using TokenLanes = TokenLanes512<MaddDots>;
}
}  // namespace kvasir::selection

#include "body.inl"

namespace kvasir::selection {
const Kernels avx512Kernels = kKernels;
}
#endif
