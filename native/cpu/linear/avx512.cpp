#include "half.h"
#include "avx512_vectors.h"
#include "simd_table.h"

namespace kvasir::lin {

const LinearKernels avx512Kernels = tableOf<Avx512>();

}  // namespace kvasir::lin
