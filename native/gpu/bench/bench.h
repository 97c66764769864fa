// What a step of the benchmark gets, and the steps there are.
#pragma once

#include <chrono>

#include "gpu.h"
#include "measure.h"
#include "roofs.h"
#include "rows.h"

namespace kvasir::gpu::bench {

struct Bench {
  const Gpu& gpu;
  Rows& rows;
  const Roofs& roofs;
  bool tiny;  // shapes so small that the emulation runs them: shows that the program works, its numbers mean nothing
  Pace pace;
  std::chrono::steady_clock::time_point deadline;

  // True, and a row says so, once the step's time is used up.
  bool late(const std::string& family, const std::string& shape) const {
    if (std::chrono::steady_clock::now() < deadline) return false;
    rows.notRun(family, shape, "the step's time was used up");
    return true;
  }
};

namespace steps {
void facts(Bench& bench);
void ceilings(Bench& bench);
void copies(Bench& bench);
void beside(Bench& bench);
void turns(Bench& bench);
void decode(Bench& bench);
void matching(Bench& bench);
void quantised(Bench& bench);
void select(Bench& bench);
void encode(Bench& bench);
void zeroCopy(Bench& bench);
void prefill(Bench& bench);
void mass(Bench& bench);
void linear(Bench& bench);
void step(Bench& bench);
void reuse(Bench& bench);
void tier(Bench& bench);
}  // namespace steps

}  // namespace kvasir::gpu::bench
