#if defined(__x86_64__)
#include "../simd/vec_avx2.h"
#include "codes_avx2.h"
#include "token_lanes_avx2.h"

namespace kvasir::selection {
namespace {
using Codes = Codes256;
using TokenLanes = TokenLanes256;
}
}  // namespace kvasir::selection

#include "body.inl"

namespace kvasir::selection {
const Kernels avx2Kernels = kKernels;
}
#endif
