// Counting checks and the list of instruction sets that this machine can run.
#pragma once

#include <cstdio>
#include <vector>

#include "kvasir/context.h"

namespace kvasir::test {

struct Checks {
  int passed = 0;
  int failed = 0;

  bool operator()(bool holds, const char* what, const char* where, double got = 0.0) {
    ++(holds ? passed : failed);
    if (!holds && failed <= 20) std::printf("FAILED %s (%s): %g\n", what, where, got);
    return holds;
  }

  int report(const char* name) const {
    std::printf("%s: %d checks passed, %d failed\n", name, passed, failed);
    return failed == 0 ? 0 : 1;
  }
};

struct NamedIsa {
  Isa isa;
  const char* name;
};

inline std::vector<NamedIsa> availableIsas() {
  std::vector<NamedIsa> isas = {{Isa::scalar, "scalar"}};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) isas.push_back({Isa::avx2, "avx2"});
  else std::printf("skipped: avx2\n");
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq")) {
    isas.push_back({Isa::avx512, "avx512"});
  } else {
    std::printf("skipped: avx512\n");
  }
#elif defined(__aarch64__)
  isas.push_back({Isa::neon, "neon"});
#endif
  return isas;
}

}  // namespace kvasir::test
