// Times work in slices, each between two runs of a roof: ratios hold where the machine's pace does not.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "gpu.h"

namespace kvasir::gpu::bench {

// Gives one call to the stream. `turn` picks the inputs: those of one turn are no longer in the cache at the next.
using Work = std::function<void(KvasirStream*, int turn)>;

struct Job {
  Work work;
  double amount = 0;    // a call: bytes or floating-point operations
  int turns = 1;        // sets of inputs
  bool captured = true; // replayed as a graph; else launched call by call
};

struct Spread {
  double low = 0, median = 0, high = 0;  // quartiles
};

Spread spreadOf(std::vector<double> values);

struct Timing {
  Spread micros;       // a call
  Spread ratio;        // rate of the job / rate of the roof, of the same slice; 0 without a roof
  double rate = 0;     // amount a second, of the median
  double roofRate = 0; // of the median
  int slices = 0;
  int callsASlice = 0;
};

struct Pace {
  int slices = 11;
  double sliceMicros = 1500;  // at least, where maxCalls allow
  int maxCalls = 256;
};

// roof may be null: then only micros and rate are given.
Timing measure(const Gpu& gpu, const Job& job, const Job* roof, const Pace& pace);

}  // namespace kvasir::gpu::bench
