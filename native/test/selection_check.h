// Counting checks of the selection tests, and the instruction sets at hand.
#pragma once

#include <cstdio>
#include <vector>

#include "kvasir/context.h"
#include "test_context.h"

namespace kvasir::test {

inline int checks = 0;
inline int failures = 0;

template <class... Values>
void expect(bool ok, const char* format, Values... values) {
  ++checks;
  if (ok || ++failures > 30) return;
  std::printf(format, values...);
}

struct NamedIsa {
  Isa isa;
  const char* name;
};

inline std::vector<NamedIsa> availableIsas() {
  std::vector<NamedIsa> isas = {{Isa::scalar, "scalar"}};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) isas.push_back({Isa::avx2, "avx2"});
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) isas.push_back({Isa::avx512, "avx512"});
  if (__builtin_cpu_supports("avx512vnni")) isas.push_back({Isa::vnni, "vnni"});
#elif defined(__aarch64__)
  isas.push_back({Isa::neon, "neon"});
#endif
  return isas;
}

// Prints what ran; the exit code of the program.
inline int report(const char* what) {
  std::printf("%s: %d checks, %d failures, instruction sets:", what, checks, failures);
  for (const NamedIsa& isa : availableIsas()) std::printf(" %s", isa.name);
  std::printf("\n");
  return failures == 0 && checks > 0 ? 0 : 1;
}

}  // namespace kvasir::test
