// Shared memory: races, what nobody wrote, bounds.
#include "wrong_bodies.h"

namespace kvasir::gpu::test {
namespace {

// A thread reads what its neighbour wrote. kMode: 0 nothing between, 1 barrier, 2 syncWarp.
template <int kMode, int kDistance>
void exchange(Cx& cx, const Args&) {
  auto tile = cx.shared<float>(64);
  Cx::Threads<Regs> regs(cx);
  cx.each([&](int thread) { tile[thread] = static_cast<float>(thread); });
  if (kMode == 1) cx.barrier();
  if (kMode == 2) cx.syncWarp();
  cx.each(regs, [&](int thread, Regs& r) { r.x = tile[thread ^ kDistance]; });
}

// What was read is overwritten by another thread.
template <bool kBarrier>
void overwrite(Cx& cx, const Args&) {
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
void broadcast(Cx& cx, const Args&) {
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
void writeOneWord(Cx& cx, const Args&) {
  auto word = cx.shared<float>(1);
  cx.each([&](int thread) {
    if (thread < kThreads) word[0] = 1.0f;
  });
}

// Neighbours write the halves of one word: allowed, an array of halves is kept apart by halves.
void neighbouringHalves(Cx& cx, const Args&) {
  auto halves = cx.shared<Half>(64);
  cx.each([&](int thread) { halves[thread] = Half{static_cast<std::uint16_t>(thread)}; });
  cx.barrier();
  cx.each([&](int thread) {
    if (thread < 8) cx.load16(halves + 8 * thread);
  });
}

void readUnwritten(Cx& cx, const Args&) {
  auto tile = cx.shared<float>(64);
  cx.each([&](int thread) {
    if (thread != 63) tile[thread] = 1.0f;
  });
  cx.barrier();
  cx.each([&](int thread) {
    if (thread == 5) cx.load16(tile + 60);
  });
}

void outOfSharedArray(Cx& cx, const Args&) {
  auto tile = cx.shared<float>(63);
  cx.shared<float>(64);
  cx.each([&](int thread) { tile[thread] = 1.0f; });
}

void tooMuchShared(Cx& cx, const Args&) { cx.shared<float>(1025); }

void misaligned(Cx& cx, const Args&) {
  auto tile = cx.shared<float>(64);
  cx.each([&](int thread) {
    if (thread == 0) cx.store16(tile + 2, Vec16{});
  });
}

template <bool kInitialised>
void atomics(Cx& cx, const Args&) {
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

void atomicsThenRead(Cx& cx, const Args&) {
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

void everyThreadWrites(Cx& cx, const Args&) {
  auto word = cx.shared<float>(1);
  word[0] = 1.0f;
}

// Registers that nobody set hold no zero by chance.
void unsetRegisters(Cx& cx, const Args&) {
  Cx::Threads<Regs> regs(cx);
  cx.each(regs, [&](int, Regs& r) {
    if (r.number != static_cast<int>(0xCDCDCDCDu)) throw emulated::Fault{"not poisoned"};
  });
}

}  // namespace

void testShared(Count& count) {
  mustFail<exchange<0, 1>>(count, "read without a barrier, one warp", "no barrier between");
  mustFail<exchange<0, 32>>(count, "read without a barrier, two warps", "no barrier between");
  mustFail<exchange<2, 32>>(count, "syncWarp does not order two warps", "no barrier between");
  mustPass<exchange<2, 1>>(count, "syncWarp orders a warp");
  mustPass<exchange<1, 32>>(count, "a barrier orders a block");
  mustPass<exchange<0, 0>>(count, "a thread sees its own writes");
  mustFail<overwrite<false>>(count, "overwritten while others may read", "no barrier between");
  mustPass<overwrite<true>>(count, "overwritten after a barrier");
  mustFail<broadcast<false>>(count, "a word set again too early", "no barrier between");
  mustPass<broadcast<true>>(count, "a word set again after a barrier");
  mustFail<writeOneWord<64>>(count, "two threads write one word", "no barrier between");
  mustPass<writeOneWord<1>>(count, "one thread writes one word");
  mustPass<neighbouringHalves>(count, "halves of one word");
  mustFail<readUnwritten>(count, "read and never written", "never written");
  mustFail<outOfSharedArray>(count, "behind a shared array", "of an array of");
  mustFail<tooMuchShared>(count, "more shared memory than launched with", "carved");
  mustFail<misaligned>(count, "a vector that is not aligned", "not aligned");
  mustFail<everyThreadWrites>(count, "written outside a phase", "outside each()");
  mustPass<atomics<true>>(count, "atomics need no barrier among them");
  mustFail<atomics<false>>(count, "an atomic on what was never written", "before anything was written");
  mustFail<atomicsThenRead>(count, "an atomic read without a barrier", "no barrier between");
  mustPass<unsetRegisters>(count, "registers are poisoned");
}

}  // namespace kvasir::gpu::test
