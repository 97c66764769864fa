#include "../simd/vec_neon.h"
#include "leaf.inl"

namespace kvasir::rows {

const Kernels kernelsNeon = kTable;

}  // namespace kvasir::rows
