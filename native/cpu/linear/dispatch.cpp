#include "kernels.h"

namespace kvasir::lin {

const LinearKernels& kernelsOf(Isa) { return scalarKernels; }

}  // namespace kvasir::lin
