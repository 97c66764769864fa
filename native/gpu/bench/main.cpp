// kvasir_gpu_bench LIBRARY STEP --rows FILE [--tiny] [--seconds S], or kvasir_gpu_bench --list: STEP:SECONDS of those that
// come after the ceilings.
// Appends rows to FILE and prints them. Ends with 0, with 1 where an answer was wrong or a call failed, with 3 where there is
// no device ("not run (why)"), with 2 for a step that does not exist.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include "bench.h"

using namespace kvasir::gpu::bench;

namespace {

struct Step {
  const char* name;
  int seconds;  // that a whole run gives it
  void (*run)(Bench&);
};

const Step kSteps[] = {
    {"facts", 20, steps::facts},
    {"ceilings", 30, steps::ceilings},
    {"copies", 40, steps::copies},
    {"beside", 15, steps::beside},
    {"turns", 15, steps::turns},
    {"decode", 40, steps::decode},
    {"quantised", 10, steps::quantised},
    {"select", 20, steps::select},
    {"encode", 10, steps::encode},
    {"zero-copy", 15, steps::zeroCopy},
    {"matching", 10, steps::matching},
    {"prefill", 30, steps::prefill},
    {"mass", 10, steps::mass},
    {"linear", 20, steps::linear},
    {"step", 50, steps::step},
    {"reuse", 85, steps::reuse},
    {"tier", 25, steps::tier},
};
constexpr int kFirstListed = 2;

int list() {
  for (std::size_t i = kFirstListed; i < std::size(kSteps); ++i) std::printf("%s:%d\n", kSteps[i].name, kSteps[i].seconds);
  return 0;
}

int usage(const std::string& problem) {
  std::printf("%s\nusage: kvasir_gpu_bench LIBRARY STEP --rows FILE [--tiny] [--seconds S]; steps:", problem.c_str());
  for (const Step& step : kSteps) std::printf(" %s", step.name);
  std::printf("\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--list") == 0) return list();
  if (argc < 3) return usage("a library and a step are needed");
  bool tiny = false;
  double seconds = 60;
  std::string rowsPath;
  for (int i = 3; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--tiny") tiny = true;
    else if (option == "--rows" && i + 1 < argc) rowsPath = argv[++i];
    else if (option == "--seconds" && i + 1 < argc) seconds = std::atof(argv[++i]);
    else return usage("unknown option " + option);
  }
  if (rowsPath.empty()) return usage("--rows FILE is needed");
  const Step* chosen = nullptr;
  for (const Step& step : kSteps) {
    if (std::strcmp(step.name, argv[2]) == 0) chosen = &step;
  }
  if (chosen == nullptr) return usage(std::string("there is no step ") + argv[2]);

  try {
    const Gpu gpu(argv[1]);
    Rows rows(chosen->name, rowsPath, !tiny && !gpu.emulated());
    const Roofs roofs(gpu, tiny);
    Pace pace;
    if (tiny) pace = {1, 1, 1};
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(static_cast<long long>(1000 * seconds));
    Bench bench{gpu, rows, roofs, tiny, pace, deadline};
    chosen->run(bench);
    return rows.anyWrong() ? 1 : 0;
  } catch (const GpuError& error) {
    if (error.status == KVASIR_GPU_ABSENT) {
      std::printf("not run (%s)\n", error.what());
      return 3;
    }
    std::printf("failed: %s\n", error.what());
  } catch (const std::exception& error) {
    std::printf("failed: %s\n", error.what());
  }
  return 1;
}
