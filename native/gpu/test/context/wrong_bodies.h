// Bodies that are wrong on purpose: the emulation must find each fault, and must let their corrected twins pass.
#pragma once

#include <cstdio>
#include <string>

#include "../../emulated/launcher.h"

namespace kvasir::gpu::test {

struct Count {
  int passed = 0;
  int failed = 0;

  void report(bool holds, const char* name, const std::string& detail) {
    holds ? ++passed : ++failed;
    if (!holds) std::printf("FAILED %s: %s\n", name, detail.c_str());
  }
};

using Cx = emulated::Context;

struct Args {
  float* memory = nullptr;  // [256], 16-byte aligned
};

struct Regs {
  float x;
  std::uint32_t words[4];
  int number;
};

// A kernel of 64 threads whose body is a function.
template <void (*kBody)(Cx&, const Args&)>
struct Kernel {
  using Args = test::Args;
  static constexpr int kThreads = 64;
  static constexpr int kMinBlocks = 1;
  static constexpr unsigned kSharedBytes = 4096;
  static void body(Cx& cx, const Args& args) { kBody(cx, args); }
};

// "" where none is found, in any order of the blocks.
template <void (*kBody)(Cx&, const Args&)>
std::string faultOf(const Args& args) {
  for (unsigned order = 0; order < 3; ++order) {
    try {
      emulated::runGrid<Kernel<kBody>>({2, 1, 4096}, args, order);
    } catch (const emulated::Fault& fault) {
      return fault.text;
    }
  }
  return "";
}

template <void (*kBody)(Cx&, const Args&)>
void mustFail(Count& count, const char* name, const char* words, const Args& args = {}) {
  const std::string fault = faultOf<kBody>(args);
  count.report(fault.find(words) != std::string::npos, name, fault.empty() ? "no fault found" : fault);
}

template <void (*kBody)(Cx&, const Args&)>
void mustPass(Count& count, const char* name, const Args& args = {}) {
  const std::string fault = faultOf<kBody>(args);
  count.report(fault.empty(), name, fault);
}

void testShared(Count& count);
void testAsync(Count& count, const Args& args);
void testControl(Count& count);
void testGlobal(Count& count, const Args& args);

}  // namespace kvasir::gpu::test
