#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "../../ops/last_block.h"
#include "wrong_bodies.h"

#if defined(__SANITIZE_THREAD__)
extern "C" const char* __tsan_default_options() { return "halt_on_error=1"; }
#endif

namespace kvasir::gpu::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
namespace {

// In a child, since the sanitizers end the program.
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

#if defined(__SANITIZE_ADDRESS__)
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

#else
// Blocks that write what is theirs, or all the same.
template <bool kOwn>
void writeByBlocks(Cx& cx, const Args& args) {
  cx.each([&](int thread) { args.memory[(kOwn ? 64 * cx.blockX() : 0) + thread] = static_cast<float>(thread); });
}

std::uint32_t* ticketOf(const Args& args) { return reinterpret_cast<std::uint32_t*>(args.memory + 128); }

// The last block reads what both wrote; without fences, it need not be there.
template <bool kFences>
void lastBlock(Cx& cx, const Args& args) {
  writeByBlocks<true>(cx, args);
  auto word = cx.shared<std::uint32_t>(1);
  bool last = false;
  if (kFences) {
    last = isLastBlock(cx, word, ticketOf(args), 2);
  } else {
    cx.barrier();
    cx.each([&](int thread) {
      if (thread == 0) word[0] = cx.atomicAdd(ticketOf(args), std::uint32_t{1});
    });
    cx.barrier();
    last = static_cast<std::uint32_t>(word[0]) % 2 == 1;
  }
  if (!last) return;
  cx.each([&](int thread) {
    volatile float sum = args.memory[thread] + args.memory[64 + thread];
    static_cast<void>(sum);
  });
}
#endif

}  // namespace

#if defined(__SANITIZE_THREAD__)
void testGlobal(Count& count, const Args& args) {
  *ticketOf(args) = 0;
  count.report(dies([&] { faultOf<writeByBlocks<false>>(args); }), "blocks that write the same", "not found");
  count.report(!dies([&] { faultOf<writeByBlocks<true>>(args); }), "blocks that write their own", "the child died");
  count.report(dies([&] { faultOf<lastBlock<false>>(args); }), "a last block without fences", "not found");
  count.report(!dies([&] { faultOf<lastBlock<true>>(args); }), "a last block", "the child died");
}
#else
void testGlobal(Count& count, const Args& args) {
  count.report(dies([&] { faultOf<readBehindGlobal>(args); }), "read behind global memory", "not found");
  count.report(dies([&] { faultOf<copyBehindGlobal>(args); }), "copied from behind global memory", "not found");
  count.report(!dies([&] { faultOf<readInside>(args); }), "reads inside global memory", "the child died");
}
#endif
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
