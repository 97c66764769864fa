#if defined(__x86_64__)
#include "../simd/vec_avx512.h"
#include "codes_avx512.h"
#include "token_lanes_avx512.h"

namespace kvasir::selection {
namespace {
using Codes = Codes512<VnniDots>;
using TokenLanes = TokenLanes512<VnniDots>;
}
}  // namespace kvasir::selection

#include "body.inl"

namespace kvasir::selection {
const Kernels vnniKernels = kKernels;
}
#endif
