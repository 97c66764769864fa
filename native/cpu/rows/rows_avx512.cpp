#include "../simd/vec_avx512.h"
#include "leaf.inl"

namespace kvasir::rows {

const Kernels kernelsAvx512 = kTable;

}  // namespace kvasir::rows
