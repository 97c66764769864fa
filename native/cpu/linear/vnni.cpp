#include "avx512_vectors.h"
#include "simd_table.h"

namespace kvasir::lin {
namespace {

struct Vnni : Avx512 {
  template <bool Wide>
  static I dot(I sum, I codes, I x) {
    return _mm512_dpbusd_epi32(sum, codes, x);
  }
};

}  // namespace

const ByteKernels vnniBytes = byteKernels<Vnni>;

}  // namespace kvasir::lin
