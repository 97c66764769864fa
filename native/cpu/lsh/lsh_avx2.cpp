#include "words_avx2.h"
#include "leaf.inl"

namespace kvasir::lsh {

const Kernels kernelsAvx2 = kTable;

}  // namespace kvasir::lsh
