// Asynchronous copies: waits, barriers, rings.
#include "wrong_bodies.h"

namespace kvasir::gpu::test {
namespace {

// kWait: 0 no wait, 1 a wait that leaves the group under way, 2 waited for, no barrier, 3 waited for and met.
template <int kWait, int kDistance>
void asyncCopy(Cx& cx, const Args& args) {
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

void asyncZeroFill(Cx& cx, const Args& args) {
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

void neverWaited(Cx& cx, const Args& args) {
  auto tile = cx.shared<float>(64 * 4);
  cx.each([&](int thread) { cx.copyAsync(tile + 4 * thread, args.memory); });
  cx.commit();
}

void neverCommitted(Cx& cx, const Args& args) {
  auto tile = cx.shared<float>(64 * 4);
  cx.each([&](int thread) { cx.copyAsync(tile + 4 * thread, args.memory); });
  cx.waitAsync(0);
}

// A ring of two tiles: the copy into a tile must not start before all have read it.
template <bool kBarrier>
void ring(Cx& cx, const Args& args) {
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

}  // namespace

void testAsync(Count& count, const Args& args) {
  mustFail<asyncCopy<0, 0>>(count, "an async copy read without a wait", "under way", args);
  mustFail<asyncCopy<1, 0>>(count, "an async copy read after too weak a wait", "under way", args);
  mustFail<asyncCopy<2, 1>>(count, "another thread's async copy read without a barrier", "no barrier between", args);
  mustPass<asyncCopy<2, 0>>(count, "own async copy read after a wait", args);
  mustPass<asyncCopy<3, 33>>(count, "async copies read after a wait and a barrier", args);
  mustPass<asyncZeroFill>(count, "an async copy fills up with zeros", args);
  mustFail<neverWaited>(count, "async copies never waited for", "never waited for", args);
  mustFail<neverCommitted>(count, "async copies never committed", "never committed", args);
  mustFail<ring<false>>(count, "a ring that is filled before it was read", "no barrier between", args);
  mustPass<ring<true>>(count, "a ring that is filled after it was read", args);
}

}  // namespace kvasir::gpu::test
