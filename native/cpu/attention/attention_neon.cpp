#include "../simd/vec_neon.h"
#include "leaf.inl"

namespace kvasir::attention {

const Kernels kernelsNeon = kTable;

}  // namespace kvasir::attention
