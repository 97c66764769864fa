#include "../simd/vec_avx2.h"
#include "leaf.inl"

namespace kvasir::attention {

const Kernels kernelsAvx2 = kTable;

}  // namespace kvasir::attention
