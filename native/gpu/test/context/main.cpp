#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "wrong_bodies.h"

namespace kvasir::gpu::test {

#if defined(__SANITIZE_ADDRESS__)
namespace {

// In a child, since AddressSanitizer ends the program.
template <class Action>
bool dies(Action action) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    std::freopen("/dev/null", "w", stderr);
    action();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

void readBehindGlobal(Cx& cx, const Args& args) {
  cx.each([&](int thread) {
    volatile float value = args.memory[4 * 64 + thread / 63];
    static_cast<void>(value);
  });
}

void copyBehindGlobal(Cx& cx, const Args& args) {
  auto tile = cx.shared<float>(64 * 4);
  cx.each([&](int thread) { cx.copyAsync(tile + 4 * thread, args.memory + 4 * (thread + 1)); });
  cx.commit();
  cx.waitAsync(0);
}

void readInside(Cx& cx, const Args& args) {
  cx.each([&](int thread) {
    volatile float value = args.memory[4 * thread];
    static_cast<void>(value);
  });
}

}  // namespace

void testGlobal(Count& count, const Args& args) {
  count.report(dies([&] { faultOf<readBehindGlobal>(args); }), "read behind global memory", "not found");
  count.report(dies([&] { faultOf<copyBehindGlobal>(args); }), "copied from behind global memory", "not found");
  count.report(!dies([&] { faultOf<readInside>(args); }), "reads inside global memory", "the child died");
}
#else
void testGlobal(Count&, const Args&) {}
#endif

}  // namespace kvasir::gpu::test

int main() {
  using namespace kvasir::gpu::test;
  void* memory = nullptr;
  if (posix_memalign(&memory, 16, 64 * 16) != 0) return 1;
  const Args args{static_cast<float*>(memory)};
  for (int i = 0; i < 256; ++i) args.memory[i] = static_cast<float>(i + 1);
  Count count;
  testShared(count);
  testAsync(count, args);
  testControl(count);
  testGlobal(count, args);
  std::free(memory);
  std::printf("context: %d faults and twins passed, %d failed\n", count.passed, count.failed);
  return count.failed == 0 ? 0 : 1;
}
