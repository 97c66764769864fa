// Every operation of the context once, so that the suite can hold a machine against plain loops.
#pragma once

#include "../args/context_probe.h"
#include "../context/launcher.h"
#include "last_block.h"

namespace kvasir::gpu {

struct ContextProbe {
  using Args = KvasirContextProbeArgs;

  static constexpr int kThreads = KVASIR_PROBE_WARPS * kWarp;
  static constexpr int kMinBlocks = 4;
  static constexpr int kTileHalves = 16 * 16 + 8 * 16;  // a, then b, of a warp
  static constexpr unsigned kSharedBytes = KVASIR_PROBE_WARPS * kTileHalves * 2 + 4;

  struct Regs {
    std::uint32_t a[4], b[2], straight[4], transposed[4], ballot, scan, crossed;
    float c[4], x, sum, largest, quad[4], across, turned, from3;
  };

  static Plan plan() { return {KVASIR_PROBE_BLOCKS, 1, kSharedBytes}; }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    typename Cx::template Threads<Regs> regs(cx);
    auto tiles = cx.template shared<Half>(KVASIR_PROBE_WARPS * kTileHalves);
    const int firstWarp = cx.blockX() * KVASIR_PROBE_WARPS;

    // In two groups, the second of which is still under way when the first is read.
    cx.each([&](int thread) {
      const int warp = thread / kWarp, lane = thread % kWarp;
      cx.copyAsync(tiles + warp * kTileHalves + 8 * lane, args.a + (firstWarp + warp) * 256 + 8 * lane);
    });
    cx.commit();
    cx.each([&](int thread) {
      const int warp = thread / kWarp, lane = thread % kWarp;
      if (lane < 16) cx.copyAsync(tiles + warp * kTileHalves + 256 + 8 * lane, args.b + (firstWarp + warp) * 128 + 8 * lane);
    });
    cx.commit();
    cx.waitAsync(1);
    cx.barrier();

    cx.warps([&](int warp) {
      auto tile = tiles + warp * kTileHalves;
      // Matrices 0 and 1 are the upper and lower rows of columns 0 to 7, 2 and 3 those of columns 8 to 15.
      const auto rowOfA = [=](int thread, const Regs&) {
        const int lane = thread % kWarp;
        return tile + (lane % 16) * 16 + lane / 16 * 8;
      };
      cx.ldmatrix4(regs, &Regs::a, rowOfA);
      cx.ldmatrix4(regs, &Regs::straight, rowOfA);
      cx.template ldmatrix4<true>(regs, &Regs::transposed, rowOfA);
      cx.waitAsync(0);
      cx.syncWarp();
      cx.ldmatrix2(regs, &Regs::b, [=](int thread, const Regs&) {
        const int lane = thread % 16;
        return tile + 256 + (lane % 8) * 16 + lane / 8 * 8;
      });
      cx.each(regs, [&](int thread, Regs& r) {
        const int lane = thread % kWarp, at = (firstWarp + warp) * 128 + lane / 4 * 8 + lane % 4 * 2;
        const Vec8 upper = cx.load8(args.c + at), lower = cx.load8(args.c + at + 64);
        for (int i = 0; i < 2; ++i) {
          r.c[i] = cx.asFloat(upper.word[i]);
          r.c[2 + i] = cx.asFloat(lower.word[i]);
        }
        r.x = args.lanes[(firstWarp + warp) * kWarp + lane];
        r.sum = r.largest = r.x;
        for (int i = 0; i < 4; ++i) r.quad[i] = r.x;
        r.scan = static_cast<std::uint32_t>(lane + 1);
      });
      cx.mma16816(regs, &Regs::c, &Regs::a, &Regs::b);
      cx.warpSum(regs, &Regs::sum);
      cx.warpMax(regs, &Regs::largest);
      cx.template warpSum<4>(regs, [](Regs& r) -> float& { return r.quad[0]; });
      cx.template warpMax<4>(regs, [](Regs& r) -> float& { return r.quad[1]; });
      cx.template warpMin<4>(regs, [](Regs& r) -> float& { return r.quad[2]; });
      cx.template warpSum<8>(regs, [](Regs& r) -> float& { return r.quad[3]; });
      cx.shuffleXor(regs, &Regs::x, &Regs::across, 5);
      cx.shuffle(regs, &Regs::x, &Regs::turned, [](int thread, const Regs&) { return thread * 7 % kWarp; });
      cx.shuffle(regs, &Regs::x, &Regs::from3, [](int, const Regs&) { return 3; });
      cx.ballot(regs, [](int, const Regs& r) { return r.x > 0.0f; }, &Regs::ballot);
      cx.warpScan(regs, &Regs::scan);
      cx.transpose(regs, [](Regs& r) -> std::uint32_t& { return r.straight[0]; }, &Regs::crossed);
      cx.each(regs, [&](int thread, Regs& r) { write(cx, args, firstWarp + warp, thread % kWarp, r); });
    });

    cx.each([&](int thread) { args.taken[cx.blockX() * kThreads + thread] = static_cast<std::uint32_t>(cx.blockX() + thread); });
    if (isLastBlock(cx, cx.template shared<std::uint32_t>(1), args.ticket, KVASIR_PROBE_BLOCKS)) {
      cx.each([&](int thread) {
        std::uint32_t sum = 0;
        for (int block = 0; block < KVASIR_PROBE_BLOCKS; ++block) sum += args.taken[block * kThreads + (thread + block) % kThreads];
        args.sums[thread] = sum;
      });
    }
  }

 private:
  template <class Cx>
  static KVASIR_DEVICE void write(Cx& cx, const Args& args, int warp, int lane, const Regs& r) {
    float* floats = args.floats + warp * KVASIR_PROBE_FLOATS;
    for (int i = 0; i < 4; ++i) floats[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = r.c[i];
    floats += 128;
    const float more[10] = {r.sum, r.largest, r.quad[0], r.quad[1], r.quad[2], r.quad[3], r.across, r.turned, r.from3, cx.exp2(r.x)};
    for (int i = 0; i < 10; ++i) floats[i * kWarp + lane] = more[i];

    std::uint32_t* words = args.words + warp * KVASIR_PROBE_WORDS;
    for (int i = 0; i < 4; ++i) {
      words[i * kWarp + lane] = r.straight[i];
      words[128 + i * kWarp + lane] = r.transposed[i];
    }
    words[256 + lane] = r.ballot;
    words[256 + kWarp + lane] = cx.toHalves(r.x * 1000.0f, r.x * 1e-6f);
    words[256 + 2 * kWarp + lane] = r.scan;
    words[256 + 3 * kWarp + lane] = r.crossed;
  }
};

}  // namespace kvasir::gpu
