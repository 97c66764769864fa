#include "words_avx512.h"
#include "leaf.inl"

namespace kvasir::lsh {

const Kernels kernelsAvx512 = kTable;

}  // namespace kvasir::lsh
