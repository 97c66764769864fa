#include "machine.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <string>
#include <thread>

namespace kvasir {

std::vector<Isa> runnableIsas() {
  std::vector<Isa> isas{Isa::scalar};
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  if (!avx2) return isas;
  isas.push_back(Isa::avx2);
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (!avx512) return isas;
  isas.push_back(Isa::avx512);
  if (__builtin_cpu_supports("avx512vnni")) isas.push_back(Isa::vnni);
#elif defined(__aarch64__)
  isas.push_back(Isa::neon);
#endif
  return isas;
}

const char* nameOf(Isa isa) {
  switch (isa) {
    case Isa::scalar: return "scalar";
    case Isa::avx2: return "avx2";
    case Isa::avx512: return "avx512";
    case Isa::vnni: return "vnni";
    case Isa::neon: return "neon";
  }
  return "unknown";
}

// Hyper-threads of one core list the same siblings.
int physicalCores() {
  const int threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
#if defined(__linux__)
  std::set<std::string> cores;
  for (int cpu = 0; cpu < threads; ++cpu) {
    std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list");
    std::string siblings;
    if (std::getline(file, siblings)) cores.insert(siblings);
  }
  if (!cores.empty()) return static_cast<int>(cores.size());
#endif
  return threads;
}

}  // namespace kvasir
