#include "../simd/vec_avx2.h"
#include "leaf.inl"

namespace kvasir::rows {

const Kernels kernelsAvx2 = kTable;

}  // namespace kvasir::rows
