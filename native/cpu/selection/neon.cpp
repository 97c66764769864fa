#if defined(__aarch64__)
#include "../simd/vec_neon.h"
#include "codes_neon.h"
#include "token_lanes_neon.h"

namespace kvasir::selection {
namespace {
using Codes = CodesPlain;
using TokenLanes = TokenLanesNeon;
}
}  // namespace kvasir::selection

#include "body.inl"

namespace kvasir::selection {
const Kernels neonKernels = kKernels;
}
#endif
