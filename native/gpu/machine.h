// What cuda/machine.cu and emulated/machine.cpp each give: all of the table but the ops.
#pragma once

#include "abi.h"

namespace kvasir::gpu {

void fillMachine(KvasirGpuV1& table);

}  // namespace kvasir::gpu
