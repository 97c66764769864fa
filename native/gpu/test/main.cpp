// kvasir_gpu_suite LIBRARY [--quick] [--seed N] [--op NAME]... [--cases N] [--streams N]
// kvasir_gpu_suite --list: the names of all.
// --cases N: the first N of each op. --streams N: that many threads, each with a stream and a seed of its own, at once.
// Last line: `P passed, F failed`, or `not run (why)` where the library has no device. Ends with 0, 1 or 3.
#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "suite.h"

using namespace kvasir::gpu::test;

namespace {

struct Named {
  const char* name;
  void (*test)(Suite&);
};

const Named kTests[] = {
    {"machine", tests::machine},
#define KVASIR_GPU_OP(name, Args) {#name, tests::name},
#include "../ops.inc"
#undef KVASIR_GPU_OP
};

struct Options {
  bool quick = false;
  unsigned seed = 1;
  int cases = 0;  // 0: all
  int streams = 1;
  std::vector<std::string> only;
};

struct Counts {
  int passed = 0, failed = 0;
};

Counts runTests(const KvasirGpuV1& gpu, const Options& options, int streamNumber) {
  KvasirDevice* device = nullptr;
  KvasirStream* stream = nullptr;
  if (gpu.openDevice(0, &device) != KVASIR_GPU_OK || gpu.createStream(device, 0, &stream) != KVASIR_GPU_OK) {
    std::printf("%s\n", gpu.lastError());
    return {0, 1};
  }
  Suite suite(gpu, device, stream, options.seed + 1000u * static_cast<unsigned>(streamNumber), options.quick, options.cases);
  const std::string where = options.streams > 1 ? " on stream " + std::to_string(streamNumber) : "";
  for (const Named& named : kTests) {
    if (suite.isLost()) break;
    if (!options.only.empty() && std::find(options.only.begin(), options.only.end(), named.name) == options.only.end()) continue;
    const int passed = suite.passed, failed = suite.failed, shapes = suite.shapes;
    suite.startOp();
    named.test(suite);
    std::printf("%s %s%s (%d shapes): %d passed, %d failed\n", gpu.kind, named.name, where.c_str(), suite.shapes - shapes,
                suite.passed - passed, suite.failed - failed);
    std::fflush(stdout);
  }
  gpu.destroyStream(stream);
  gpu.closeDevice(device);
  return {suite.passed, suite.failed};
}

int notRun(const std::string& why) {
  std::printf("not run (%s)\n", why.c_str());
  return 3;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--list") == 0) {
    for (const Named& named : kTests) std::printf("%s\n", named.name);
    return 0;
  }
  if (argc < 2) return notRun("usage: kvasir_gpu_suite LIBRARY [--quick] [--seed N] [--op NAME]... [--cases N] [--streams N]");
  Options options;
  for (int i = 2; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--quick") options.quick = true;
    else if (option == "--seed" && i + 1 < argc) options.seed = static_cast<unsigned>(std::atoi(argv[++i]));
    else if (option == "--op" && i + 1 < argc) options.only.push_back(argv[++i]);
    else if (option == "--cases" && i + 1 < argc) options.cases = std::atoi(argv[++i]);
    else if (option == "--streams" && i + 1 < argc) options.streams = std::atoi(argv[++i]);
    else return notRun("unknown option " + option);
  }
  if (options.streams < 1 || options.streams > 16) return notRun("--streams takes 1 to 16");
  for (const std::string& name : options.only) {
    const bool known = std::any_of(std::begin(kTests), std::end(kTests), [&](const Named& named) { return name == named.name; });
    if (!known) return notRun("there is no op " + name);
  }

  void* library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return notRun(dlerror());
  const auto open = reinterpret_cast<KvasirGpuV1Function>(dlsym(library, "kvasir_gpu_v1"));
  const KvasirGpuV1* gpu = open == nullptr ? nullptr : open(KVASIR_GPU_VERSION);
  if (gpu == nullptr || gpu->size != sizeof(KvasirGpuV1) || gpu->layout != kvasirGpuLayout()) {
    std::printf("%s does not export this version of the table\n0 passed, 1 failed\n", argv[1]);
    return 1;
  }
  std::int32_t count = 0;
  if (gpu->deviceCount(&count) == KVASIR_GPU_ABSENT) return notRun(gpu->lastError());
  std::vector<Counts> counts(static_cast<std::size_t>(options.streams));
  std::vector<std::thread> threads;
  for (int number = 1; number < options.streams; ++number) {
    threads.emplace_back([&, number] { counts[static_cast<std::size_t>(number)] = runTests(*gpu, options, number); });
  }
  counts[0] = runTests(*gpu, options, 0);
  for (std::thread& thread : threads) thread.join();
  Counts sum;
  for (const Counts& one : counts) sum = {sum.passed + one.passed, sum.failed + one.failed};
  std::printf("%d passed, %d failed\n", sum.passed, sum.failed);
  return sum.failed == 0 ? 0 : 1;
}
