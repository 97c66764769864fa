// What this machine can run.
#pragma once

#include <vector>

#include "kvasir/context.h"

namespace kvasir {

// Instruction sets that this machine runs and that were compiled in, worst first. Never empty.
std::vector<Isa> runnableIsas();

const char* nameOf(Isa isa);

// Cores without their hyper-threads; 1 if the system does not say.
int physicalCores();

}  // namespace kvasir
