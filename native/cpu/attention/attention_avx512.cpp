#include "../simd/vec_avx512.h"
#include "leaf.inl"

namespace kvasir::attention {

const Kernels kernelsAvx512 = kTable;

}  // namespace kvasir::attention
