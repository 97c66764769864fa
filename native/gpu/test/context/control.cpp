// Barriers, collectives and warps.
#include "wrong_bodies.h"

namespace kvasir::gpu::test {
namespace {

void barrierInPhase(Cx& cx, const Args&) {
  cx.each([&](int thread) {
    if (thread < 32) cx.barrier();
  });
}

void collectiveInPhase(Cx& cx, const Args&) {
  Cx::Threads<Regs> regs(cx);
  cx.each(regs, [&](int, Regs& r) { r.x = 1.0f; });
  cx.each(regs, [&](int thread, Regs&) {
    if (thread == 3) cx.warpSum(regs, &Regs::x);
  });
}

void barrierOfOneWarp(Cx& cx, const Args&) {
  cx.warps([&](int warp) {
    if (warp == 0) cx.barrier();
  });
}

template <bool kSame>
void uniformValue(Cx& cx, const Args&) {
  Cx::Threads<Regs> regs(cx);
  cx.each(regs, [&](int thread, Regs& r) { r.number = kSame ? 7 : thread / 63; });
  if (cx.uniform(regs, &Regs::number) != 7) throw emulated::Fault{"wrong value"};
}

void sharedOfOneWarp(Cx& cx, const Args&) {
  cx.warps([&](int) { cx.shared<float>(32); });
}

// Warps of different lengths that meet on their own; kSync: between what lanes exchange.
template <bool kSync>
void warpsOnTheirOwn(Cx& cx, const Args&) {
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
void acrossWarps(Cx& cx, const Args&) {
  auto tile = cx.shared<float>(64);
  Cx::Threads<Regs> regs(cx);
  cx.warps([&](int) {
    cx.each([&](int thread) { tile[thread] = 0.0f; });
    cx.syncWarp();
  });
  cx.each(regs, [&](int thread, Regs& r) { r.x = tile[thread ^ 32]; });
}

template <bool kBarrier>
void matricesFromShared(Cx& cx, const Args&) {
  auto tile = cx.shared<Half>(16 * 16 * 2);
  Cx::Threads<Regs> regs(cx);
  cx.each([&](int thread) {
    for (int i = 0; i < 8; ++i) tile[8 * thread + i] = Half{0};
  });
  if (kBarrier) cx.syncWarp();
  cx.ldmatrix4(regs, &Regs::words, [&](int thread, const Regs&) { return tile + 8 * thread; });
}

}  // namespace

void testControl(Count& count) {
  mustFail<barrierInPhase>(count, "a barrier for some threads", "inside each()");
  mustFail<collectiveInPhase>(count, "a collective for some threads", "inside each()");
  mustFail<barrierOfOneWarp>(count, "a barrier for some warps", "inside warps()");
  mustFail<sharedOfOneWarp>(count, "shared memory of one warp", "inside warps()");
  mustFail<uniformValue<false>>(count, "a uniform value that differs", "differ");
  mustPass<uniformValue<true>>(count, "a uniform value");
  mustPass<warpsOnTheirOwn<true>>(count, "warps of different lengths");
  mustFail<warpsOnTheirOwn<false>>(count, "lanes that do not meet", "no barrier between");
  mustFail<acrossWarps>(count, "a warp that reads another's", "no barrier between");
  mustFail<matricesFromShared<false>>(count, "ldmatrix of rows not settled", "no barrier between");
  mustPass<matricesFromShared<true>>(count, "ldmatrix of rows settled");
}

}  // namespace kvasir::gpu::test
