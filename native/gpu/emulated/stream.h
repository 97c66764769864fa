// A queue that runs in order, and as late as may be: once somebody waits, so that a caller that forgets to wait reads poison.
// With KVASIR_GPU_EAGER set as early as may be, so that a caller that writes what queued work still reads is found as well.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "../args/status.h"

struct KvasirGraph {
  std::vector<std::function<void()>> tasks;
};

struct KvasirStream {
  int number = 0;  // in the trace
  KvasirDevice* device = nullptr;
  std::deque<std::function<void()>> tasks;
  KvasirGraph* capture = nullptr;
  std::string fault;  // of a task since somebody last waited: what followed it was dropped

  void push(std::function<void()> task);
  bool runOne();
  int drain();
};

namespace kvasir::gpu::emulated {

// Held by every call: the emulation does one thing at a time.
std::recursive_mutex& everything();

}  // namespace kvasir::gpu::emulated
