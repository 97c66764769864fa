// Bodies that are wrong on purpose: the emulation must find each fault, and must let their corrected twins pass.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "../emulated/launcher.h"

using namespace kvasir::gpu;

namespace {

int passed = 0, failed = 0;

void report(bool holds, const char* name, const std::string& detail) {
  holds ? ++passed : ++failed;
  if (!holds) std::printf("FAILED %s: %s\n", name, detail.c_str());
}

struct NoArgs {
  float* memory = nullptr;
};

// A kernel of 64 threads whose body is a function.
template <void (*kBody)(emulated::Context&, const NoArgs&), unsigned kShared = 4096>
struct Kernel {
  using Args = NoArgs;
  static constexpr int kThreads = 64;
  static constexpr int kMinBlocks = 1;
  static constexpr unsigned kSharedBytes = kShared;
  static void body(emulated::Context& cx, const NoArgs& args) { kBody(cx, args); }
};

template <class K>
std::string faultOf(const NoArgs& args = {}) {
  for (unsigned order = 0; order < 3; ++order) {
    try {
      emulated::runGrid<K>({2, 1, K::kSharedBytes}, args, order);
    } catch (const emulated::Fault& fault) {
      return fault.text;
    }
  }
  return "";
}

template <void (*kBody)(emulated::Context&, const NoArgs&)>
void mustFail(const char* name, const char* words, const NoArgs& args = {}) {
  const std::string fault = faultOf<Kernel<kBody>>(args);
  report(fault.find(words) != std::string::npos, name, fault.empty() ? "no fault found" : fault);
}

template <void (*kBody)(emulated::Context&, const NoArgs&)>
void mustPass(const char* name, const NoArgs& args = {}) {
  const std::string fault = faultOf<Kernel<kBody>>(args);
  report(fault.empty(), name, fault);
}

using Cx = emulated::Context;

struct Regs {
  float x, y;
  std::uint32_t a[4], b[2], words[4];
  float c[4];
  int number;
};

// A thread reads what its neighbour wrote. kMode: 0 nothing between, 1 barrier, 2 syncWarp.
template <int kMode, int kDistance>
void exchange(Cx& cx, const NoArgs&) {
  auto tile = cx.shared<float>(64);
  Cx::Threads<Regs> regs(cx);
  cx.each([&](int thread) { tile[thread] = static_cast<float>(thread); });
  if (kMode == 1) cx.barrier();
  if (kMode == 2) cx.syncWarp();
  cx.each(regs, [&](int thread, Regs& r) { r.x = tile[thread ^ kDistance]; });
}

// What was read is overwritten by another thread.
template <bool kBarrier>
void overwrite(Cx& cx, const NoArgs&) {
  auto tile = cx.shared<float>(64);
  cx.each([&](int thread) { tile[thread] = 1.0f; });
  cx.barrier();
  Cx::Threads<Regs> regs(cx);
  cx.each(regs, [&](int thread, Regs& r) { r.x = tile[63 - thread]; });
  if (kBarrier) cx.barrier();
  cx.each([&](int thread) { tile[thread] = 2.0f; });
}

// Everybody reads a word, one thread then writes it.
template <bool kBarrier>
void broadcast(Cx& cx, const NoArgs&) {
  auto word = cx.shared<std::int32_t>(1);
  for (int round = 0; round < 3; ++round) {
    cx.each([&](int thread) {
      if (thread == 0) word[0] = round;
    });
    cx.barrier();
    Cx::Threads<Regs> regs(cx);
    cx.each(regs, [&](int, Regs& r) { r.number = word[0]; });
    if (kBarrier) cx.barrier();
  }
}

template <int kThreads>
void writeOneWord(Cx& cx, const NoArgs&) {
  auto word = cx.shared<float>(1);
  cx.each([&](int thread) {
    if (thread < kThreads) word[0] = 1.0f;
  });
}

// Neighbours write the halves of one word: allowed, an array of halves is kept apart by halves.
void neighbouringHalves(Cx& cx, const NoArgs&) {
  auto halves = cx.shared<Half>(64);
  cx.each([&](int thread) { halves[thread] = Half{static_cast<std::uint16_t>(thread)}; });
  cx.barrier();
  cx.each([&](int thread) {
    if (thread < 8) cx.load16(halves + 8 * thread);
  });
}

void readUnwritten(Cx& cx, const NoArgs&) {
  auto tile = cx.shared<float>(64);
  cx.each([&](int thread) {
    if (thread != 63) tile[thread] = 1.0f;
  });
  cx.barrier();
  cx.each([&](int thread) {
    if (thread == 5) cx.load16(tile + 60);
  });
}

void outOfSharedArray(Cx& cx, const NoArgs&) {
  auto tile = cx.shared<float>(63);
  cx.shared<float>(64);
  cx.each([&](int thread) { tile[thread] = 1.0f; });
}

void tooMuchShared(Cx& cx, const NoArgs&) { cx.shared<float>(1025); }

void misaligned(Cx& cx, const NoArgs&) {
  auto tile = cx.shared<float>(64);
  cx.each([&](int thread) {
    if (thread == 0) cx.store16(tile + 2, Vec16{});
  });
}

// kWait: 0 no wait, 1 a wait that leaves the group under way, 2 waited for, no barrier, 3 waited for and met.
template <int kWait, int kDistance>
void asyncCopy(Cx& cx, const NoArgs& args) {
  auto tile = cx.shared<float>(64 * 4);
  Cx::Threads<Regs> regs(cx);
  cx.each([&](int thread) { cx.copyAsync(tile + 4 * thread, args.memory + 4 * thread); });
  cx.commit();
  if (kWait == 1) cx.waitAsync(1);
  if (kWait >= 2) cx.waitAsync(0);
  if (kWait == 3) cx.barrier();
  cx.each(regs, [&](int thread, Regs& r) {
    r.x = tile[4 * (thread ^ kDistance) + 3];
    if (r.x != args.memory[4 * (thread ^ kDistance) + 3]) throw emulated::Fault{"wrong value"};
  });
}

void asyncZeroFill(Cx& cx, const NoArgs& args) {
  auto tile = cx.shared<float>(64 * 4);
  cx.each([&](int thread) { cx.copyAsync(tile + 4 * thread, args.memory, thread % 5 * 4 == 16 ? 16 : thread % 5 * 4); });
  cx.commit();
  cx.waitAsync(0);
  cx.each([&](int thread) {
    for (int i = 0; i < 4; ++i) {
      const float value = tile[4 * thread + i], want = i < thread % 5 ? args.memory[i] : 0.0f;
      if (value != want) throw emulated::Fault{"wrong value"};
    }
  });
}

void neverWaited(Cx& cx, const NoArgs& args) {
  auto tile = cx.shared<float>(64 * 4);
  cx.each([&](int thread) { cx.copyAsync(tile + 4 * thread, args.memory); });
  cx.commit();
}

void neverCommitted(Cx& cx, const NoArgs& args) {
  auto tile = cx.shared<float>(64 * 4);
  cx.each([&](int thread) { cx.copyAsync(tile + 4 * thread, args.memory); });
  cx.waitAsync(0);
}

// A ring of two tiles: the copy into a tile must not start before all have read it.
template <bool kBarrier>
void ring(Cx& cx, const NoArgs& args) {
  auto tiles = cx.shared<float>(2 * 256);
  const auto start = [&](int tile) {
    cx.each([&](int thread) { cx.copyAsync(tiles + tile % 2 * 256 + 4 * thread, args.memory + 4 * thread); });
    cx.commit();
  };
  start(0);
  for (int tile = 0; tile < 5; ++tile) {
    start(tile + 1);
    cx.waitAsync(1);
    cx.barrier();
    Cx::Threads<Regs> regs(cx);
    cx.each(regs, [&](int thread, Regs& r) { r.x = tiles[tile % 2 * 256 + (4 * thread + 128) % 256]; });
    if (kBarrier) cx.barrier();
  }
  cx.waitAsync(0);
}

void barrierInPhase(Cx& cx, const NoArgs&) {
  cx.each([&](int thread) {
    if (thread < 32) cx.barrier();
  });
}

void collectiveInPhase(Cx& cx, const NoArgs&) {
  Cx::Threads<Regs> regs(cx);
  cx.each(regs, [&](int, Regs& r) { r.x = 1.0f; });
  cx.each(regs, [&](int thread, Regs&) {
    if (thread == 3) cx.warpSum(regs, &Regs::x);
  });
}

void barrierOfOneWarp(Cx& cx, const NoArgs&) {
  cx.warps([&](int warp) {
    if (warp == 0) cx.barrier();
  });
}

template <bool kSame>
void uniformValue(Cx& cx, const NoArgs&) {
  Cx::Threads<Regs> regs(cx);
  cx.each(regs, [&](int thread, Regs& r) { r.number = kSame ? 7 : thread / 63; });
  if (cx.uniform(regs, &Regs::number) != 7) throw emulated::Fault{"wrong value"};
}

// Warps of different lengths that meet on their own; kSync: between what lanes exchange.
template <bool kSync>
void warpsOnTheirOwn(Cx& cx, const NoArgs&) {
  auto tile = cx.shared<float>(64);
  Cx::Threads<Regs> regs(cx);
  cx.warps([&](int warp) {
    for (int round = 0; round < 1 + 3 * warp; ++round) {
      cx.each([&](int thread) { tile[thread] = static_cast<float>(round); });
      if (kSync) cx.syncWarp();
      cx.each(regs, [&](int thread, Regs& r) { r.x = tile[thread ^ 1]; });
      if (kSync) cx.syncWarp();
    }
  });
}

// A warp reads what another has written, with only syncWarp between.
void acrossWarps(Cx& cx, const NoArgs&) {
  auto tile = cx.shared<float>(64);
  Cx::Threads<Regs> regs(cx);
  cx.warps([&](int) {
    cx.each([&](int thread) { tile[thread] = 0.0f; });
    cx.syncWarp();
  });
  cx.each(regs, [&](int thread, Regs& r) { r.x = tile[thread ^ 32]; });
}

template <bool kBarrier>
void matricesFromShared(Cx& cx, const NoArgs&) {
  auto tile = cx.shared<Half>(16 * 16 * 2);
  Cx::Threads<Regs> regs(cx);
  cx.each([&](int thread) {
    for (int i = 0; i < 8; ++i) tile[8 * thread + i] = Half{0};
  });
  if (kBarrier) cx.syncWarp();
  cx.ldmatrix4(regs, &Regs::words, [&](int thread, const Regs&) { return tile + 8 * thread; });
}

template <bool kInitialised>
void atomics(Cx& cx, const NoArgs&) {
  auto count = cx.shared<std::int32_t>(1);
  cx.each([&](int thread) {
    if (kInitialised && thread == 0) count[0] = 0;
  });
  cx.barrier();
  cx.each([&](int) { cx.atomicAdd(count, 1); });
  cx.barrier();
  cx.each([&](int thread) {
    if (thread == 9 && count[0] != 64) throw emulated::Fault{"wrong value"};
  });
}

void atomicsThenRead(Cx& cx, const NoArgs&) {
  auto count = cx.shared<std::int32_t>(1);
  cx.each([&](int thread) {
    if (thread == 0) count[0] = 0;
  });
  cx.barrier();
  cx.each([&](int) { cx.atomicAdd(count, 1); });
  cx.each([&](int thread) {
    if (thread == 9) static_cast<void>(static_cast<std::int32_t>(count[0]));
  });
}

void everyThreadWrites(Cx& cx, const NoArgs&) {
  auto word = cx.shared<float>(1);
  word[0] = 1.0f;
}

// Registers that nobody set hold no zero by chance.
void unsetRegisters(Cx& cx, const NoArgs&) {
  Cx::Threads<Regs> regs(cx);
  cx.each(regs, [&](int, Regs& r) {
    if (r.number != static_cast<int>(0xCDCDCDCDu)) throw emulated::Fault{"not poisoned"};
  });
}

void testShared() {
  mustFail<exchange<0, 1>>("read without a barrier, one warp", "no barrier between");
  mustFail<exchange<0, 32>>("read without a barrier, two warps", "no barrier between");
  mustFail<exchange<2, 32>>("syncWarp does not order two warps", "no barrier between");
  mustPass<exchange<2, 1>>("syncWarp orders a warp");
  mustPass<exchange<1, 32>>("a barrier orders a block");
  mustPass<exchange<0, 0>>("a thread sees its own writes");
  mustFail<overwrite<false>>("overwritten while others may read", "no barrier between");
  mustPass<overwrite<true>>("overwritten after a barrier");
  mustFail<broadcast<false>>("a word set again too early", "no barrier between");
  mustPass<broadcast<true>>("a word set again after a barrier");
  mustFail<writeOneWord<64>>("two threads write one word", "no barrier between");
  mustPass<writeOneWord<1>>("one thread writes one word");
  mustPass<neighbouringHalves>("halves of one word");
  mustFail<readUnwritten>("read and never written", "never written");
  mustFail<outOfSharedArray>("behind a shared array", "of an array of");
  mustFail<tooMuchShared>("more shared memory than launched with", "carved");
  mustFail<misaligned>("a vector that is not aligned", "not aligned");
  mustFail<everyThreadWrites>("written outside a phase", "outside each()");
  mustPass<atomics<true>>("atomics need no barrier among them");
  mustFail<atomics<false>>("an atomic on what was never written", "before anything was written");
  mustFail<atomicsThenRead>("an atomic read without a barrier", "no barrier between");
  mustPass<unsetRegisters>("registers are poisoned");
}

void testAsync(const NoArgs& args) {
  mustFail<asyncCopy<0, 0>>("an async copy read without a wait", "under way", args);
  mustFail<asyncCopy<1, 0>>("an async copy read after too weak a wait", "under way", args);
  mustFail<asyncCopy<2, 1>>("another thread's async copy read without a barrier", "no barrier between", args);
  mustPass<asyncCopy<2, 0>>("own async copy read after a wait", args);
  mustPass<asyncCopy<3, 33>>("async copies read after a wait and a barrier", args);
  mustPass<asyncZeroFill>("an async copy fills up with zeros", args);
  mustFail<neverWaited>("async copies never waited for", "never waited for", args);
  mustFail<neverCommitted>("async copies never committed", "never committed", args);
  mustFail<ring<false>>("a ring that is filled before it was read", "no barrier between", args);
  mustPass<ring<true>>("a ring that is filled after it was read", args);
}

void testControl() {
  mustFail<barrierInPhase>("a barrier for some threads", "inside each()");
  mustFail<collectiveInPhase>("a collective for some threads", "inside each()");
  mustFail<barrierOfOneWarp>("a barrier for some warps", "inside warps()");
  mustFail<uniformValue<false>>("a uniform value that differs", "differ");
  mustPass<uniformValue<true>>("a uniform value");
  mustPass<warpsOnTheirOwn<true>>("warps of different lengths");
  mustFail<warpsOnTheirOwn<false>>("lanes that do not meet", "no barrier between");
  mustFail<acrossWarps>("a warp that reads another's", "no barrier between");
  mustFail<matricesFromShared<false>>("ldmatrix of rows not settled", "no barrier between");
  mustPass<matricesFromShared<true>>("ldmatrix of rows settled");
}

#if defined(__SANITIZE_ADDRESS__)
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

void readBehindGlobal(Cx& cx, const NoArgs& args) {
  cx.each([&](int thread) {
    volatile float value = args.memory[4 * 64 + thread / 63];
    static_cast<void>(value);
  });
}

void copyBehindGlobal(Cx& cx, const NoArgs& args) {
  auto tile = cx.shared<float>(64 * 4);
  cx.each([&](int thread) { cx.copyAsync(tile + 4 * thread, args.memory + 4 * (thread + 1)); });
  cx.commit();
  cx.waitAsync(0);
}

void testGlobal(const NoArgs& args) {
  report(dies([&] { faultOf<Kernel<readBehindGlobal>>(args); }), "read behind global memory", "not found");
  report(dies([&] { faultOf<Kernel<copyBehindGlobal>>(args); }), "copied from behind global memory", "not found");
  report(!dies([&] { faultOf<Kernel<asyncCopy<3, 0>>>(args); }), "reads inside global memory", "the child died");
}
#else
void testGlobal(const NoArgs&) {}
#endif

}  // namespace

int main() {
  void* memory = nullptr;
  if (posix_memalign(&memory, 16, 64 * 16) != 0) return 1;
  const NoArgs args{static_cast<float*>(memory)};
  for (int i = 0; i < 256; ++i) args.memory[i] = static_cast<float>(i + 1);
  testShared();
  testAsync(args);
  testControl();
  testGlobal(args);
  std::free(memory);
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
