// Runs a grid on this machine, block after block: from the front, from the back or from both ends in turn, launch by launch.
// Where races are to be seen, on four threads, which have neighbouring blocks.
#pragma once

#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <typeinfo>
#include <utility>
#include <vector>

#include "../context/emulated.h"
#include "../failure.h"
#include "stream.h"
#include "trace.h"

namespace kvasir::gpu {
namespace emulated {

template <class Kernel>
std::string kernelName() {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> name(abi::__cxa_demangle(typeid(Kernel).name(), nullptr, nullptr, &status), std::free);
  return status == 0 ? name.get() : typeid(Kernel).name();
}

inline unsigned blockAt(unsigned step, unsigned blocks, unsigned order) {
  if (order % 3 == 0) return step;
  if (order % 3 == 1) return blocks - 1 - step;
  return step % 2 == 0 ? step / 2 : blocks - 1 - step / 2;
}

// Throws a Fault that names the kernel and the block.
template <class Kernel>
void runBlock(const Plan& plan, const typename Kernel::Args& args, unsigned block) {
  try {
    Context context(block % plan.gridX, block / plan.gridX, plan, Kernel::kThreads);
    Kernel::body(context, args);
    context.finish();
  } catch (const Fault& fault) {
    throw Fault{kernelName<Kernel>() + ", block (" + std::to_string(block % plan.gridX) + ", " +
                std::to_string(block / plan.gridX) + "): " + fault.text};
  }
}

template <class Kernel>
void runGrid(const Plan& plan, const typename Kernel::Args& args, unsigned order) {
  requireLaunchable<Kernel>();
  constexpr unsigned kLanes = kShowsRaces ? 4 : 1;
  const unsigned blocks = plan.gridX * plan.gridY;
  const auto runLane = [&](unsigned lane) {
    for (unsigned step = lane; step < blocks; step += kLanes) runBlock<Kernel>(plan, args, blockAt(step, blocks, order));
  };
  if (kLanes == 1) return runLane(0);
  std::string faults[kLanes];
  std::vector<std::thread> threads;
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    threads.emplace_back([&, lane] {
      try {
        runLane(lane);
      } catch (const Fault& fault) {
        faults[lane] = fault.text;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : faults) {
    if (!text.empty()) throw Fault{text};
  }
}

}  // namespace emulated

class Launcher {
 public:
  explicit Launcher(KvasirStream* stream) : stream_(stream) {}

  template <class Kernel>
  int run(const Plan& plan, const typename Kernel::Args& args) {
    if (plan.gridX == 0 || plan.gridY == 0) return KVASIR_GPU_OK;
    if (plan.gridX > 0x7fffffffu || plan.gridY > 65535u) return refuse(emulated::kernelName<Kernel>() + ": the grid is too large");
    if (plan.sharedBytes > Kernel::kSharedBytes) return refuse(emulated::kernelName<Kernel>() + ": plan exceeds kSharedBytes");
    const std::lock_guard<std::recursive_mutex> lock(emulated::everything());
    if (emulated::tracing()) emulated::trace("stream " + std::to_string(stream_->number) + " launch " + emulated::kernelName<Kernel>());
    const unsigned order = launches()++;
    stream_->push([plan, args, order] { emulated::runGrid<Kernel>(plan, args, order); });
    return KVASIR_GPU_OK;
  }

  int refuse(std::string text) { return fail(KVASIR_GPU_INVALID, std::move(text)); }

  // The plans of small machines are the harder ones: every block has several turns.
  int multiprocessors() const { return 4; }

 private:
  static unsigned& launches() {
    static unsigned count = 0;
    return count;
  }

  KvasirStream* stream_;
};

}  // namespace kvasir::gpu
