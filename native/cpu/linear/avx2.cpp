#include "kernels.h"
namespace kvasir::lin { const LinearKernels avx2Kernels = scalarKernels; }
