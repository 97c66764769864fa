#include "words_neon.h"
#include "leaf.inl"

namespace kvasir::lsh {

const Kernels kernelsNeon = kTable;

}  // namespace kvasir::lsh
