#include "words_avx512.h"
#include "leaf.inl"

namespace kvasir::lsh {

const Kernels kernelsPopcnt = kTable;

}  // namespace kvasir::lsh
