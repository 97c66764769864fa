#include "avx512_vectors.h"
#include "simd_table.h"

namespace kvasir::lin {

const FloatKernels avx512Floats = floatKernels<Avx512>;
const ByteKernels avx512Bytes = byteKernels<Avx512>;

}  // namespace kvasir::lin
