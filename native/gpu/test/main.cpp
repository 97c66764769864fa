// kvasir_gpu_suite LIBRARY [--quick] [--seed N] [--op NAME]...
// Last line: `P passed, F failed`, or `not run (why)` where the library has no device. Ends with 0, 1 or 3.
#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>

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

int notRun(const std::string& why) {
  std::printf("not run (%s)\n", why.c_str());
  return 3;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return notRun("usage: kvasir_gpu_suite LIBRARY [--quick] [--seed N] [--op NAME]...");
  bool quick = false;
  unsigned seed = 1;
  std::vector<std::string> only;
  for (int i = 2; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--quick") quick = true;
    else if (option == "--seed" && i + 1 < argc) seed = static_cast<unsigned>(std::atoi(argv[++i]));
    else if (option == "--op" && i + 1 < argc) only.push_back(argv[++i]);
    else return notRun("unknown option " + option);
  }
  for (const std::string& name : only) {
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
  KvasirDevice* device = nullptr;
  KvasirStream* stream = nullptr;
  if (gpu->openDevice(0, &device) != KVASIR_GPU_OK || gpu->createStream(device, 0, &stream) != KVASIR_GPU_OK) {
    std::printf("%s\n0 passed, 1 failed\n", gpu->lastError());
    return 1;
  }

  Suite suite(*gpu, device, stream, seed, quick);
  for (const Named& named : kTests) {
    if (!only.empty() && std::find(only.begin(), only.end(), named.name) == only.end()) continue;
    const int passed = suite.passed, failed = suite.failed;
    named.test(suite);
    std::printf("%s %s: %d passed, %d failed\n", gpu->kind, named.name, suite.passed - passed, suite.failed - failed);
    std::fflush(stdout);
  }
  gpu->destroyStream(stream);
  gpu->closeDevice(device);
  std::printf("%d passed, %d failed\n", suite.passed, suite.failed);
  return suite.failed == 0 ? 0 : 1;
}
