// The machine's own pace: an empty kernel, a read of memory, and products that need none.
#pragma once

#include "../abi.h"
#include "../context/launcher.h"

namespace kvasir::gpu {

struct RoofEmpty {
  using Args = KvasirRoofProbeArgs;
  static constexpr int kThreads = KVASIR_ROOF_THREADS;
  static constexpr int kMinBlocks = 1;
  static constexpr unsigned kSharedBytes = 0;

  template <class Cx>
  static KVASIR_DEVICE void body(Cx&, const Args&) {}
};

struct RoofRead {
  using Args = KvasirRoofProbeArgs;
  static constexpr int kThreads = KVASIR_ROOF_THREADS;
  static constexpr int kMinBlocks = 4;
  static constexpr unsigned kSharedBytes = 0;
  static constexpr int kAhead = 4;  // 16 KiB a block on the way

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    cx.each([&](int thread) {
      const std::uint8_t* from = static_cast<const std::uint8_t*>(args.from);
      const std::size_t vectors = args.bytes / 16, step = static_cast<std::size_t>(cx.gridX()) * kThreads;
      const std::size_t first = static_cast<std::size_t>(cx.blockX()) * kThreads + static_cast<std::size_t>(thread);
      Vec16 sum = {{0, 0, 0, 0}};
      const auto join = [&](const Vec16& value) {
        KVASIR_UNROLL
        for (int w = 0; w < 4; ++w) sum.word[w] ^= value.word[w];
      };
      std::size_t v = first;
      for (; v + (kAhead - 1) * step < vectors; v += kAhead * step) {
        Vec16 values[kAhead];
        KVASIR_UNROLL
        for (std::size_t i = 0; i < kAhead; ++i) values[i] = cx.load16(from + 16 * (v + i * step));
        KVASIR_UNROLL
        for (int i = 0; i < kAhead; ++i) join(values[i]);
      }
      for (; v < vectors; v += step) join(cx.load16(from + 16 * v));
      cx.store16(args.out + 4 * first, sum);
    });
  }
};

struct RoofMultiply {
  using Args = KvasirRoofProbeArgs;
  static constexpr int kThreads = KVASIR_ROOF_THREADS;
  static constexpr int kMinBlocks = 2;
  static constexpr unsigned kSharedBytes = 0;
  static constexpr int kLeft = 4, kRight = 4;  // fragments: each pair has a sum of its own, so that none waits for another
  static_assert(kLeft * kRight == KVASIR_ROOF_PRODUCTS, "products a round");

  struct Regs {
    std::uint32_t a[kLeft][4];
    std::uint32_t b[kRight][2];
    float c[kLeft * kRight][4];
  };

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    typename Cx::template Threads<Regs> regs(cx);
    cx.each(regs, [&](int thread, Regs& r) {
      const std::size_t place = static_cast<std::size_t>(cx.blockX()) * kThreads + static_cast<std::size_t>(thread);
      const std::uint32_t* from = static_cast<const std::uint32_t*>(args.from) + 24 * place;
      KVASIR_UNROLL
      for (int i = 0; i < kLeft; ++i) {
        const Vec16 words = cx.load16(from + 4 * i);
        KVASIR_UNROLL
        for (int w = 0; w < 4; ++w) r.a[i][w] = words.word[w];
      }
      KVASIR_UNROLL
      for (int i = 0; i < kRight; ++i) {
        const Vec8 words = cx.load8(from + 4 * kLeft + 2 * i);
        r.b[i][0] = words.word[0];
        r.b[i][1] = words.word[1];
      }
      KVASIR_UNROLL
      for (int i = 0; i < kLeft * kRight; ++i) {
        KVASIR_UNROLL
        for (int w = 0; w < 4; ++w) r.c[i][w] = 0.0f;
      }
    });
    for (int round = 0; round < args.rounds; ++round) {
      KVASIR_UNROLL
      for (int i = 0; i < kLeft * kRight; ++i) {
        cx.mma16816(regs, [i](Regs& r) -> float(&)[4] { return r.c[i]; },
                    [i](Regs& r) -> std::uint32_t(&)[4] { return r.a[i / kRight]; },
                    [i](Regs& r) -> std::uint32_t(&)[2] { return r.b[i % kRight]; });
      }
    }
    cx.each(regs, [&](int thread, Regs& r) {
      const std::size_t place = static_cast<std::size_t>(cx.blockX()) * kThreads + static_cast<std::size_t>(thread);
      Vec16 sums;
      KVASIR_UNROLL
      for (int w = 0; w < 4; ++w) {
        float sum = 0.0f;
        KVASIR_UNROLL
        for (int i = 0; i < kLeft * kRight; ++i) sum += r.c[i][w];
        sums.word[w] = cx.asBits(sum);
      }
      cx.store16(args.out + 4 * place, sums);
    });
  }
};

inline int launchRoofProbe(Launcher launcher, const KvasirRoofProbeArgs& args) {
  if (args.blocks <= 0) return launcher.refuse("roofProbe: blocks must be positive");
  if (args.bytes % 16 != 0) return launcher.refuse("roofProbe: bytes must be a multiple of 16");
  Plan plan;
  plan.gridX = static_cast<unsigned>(args.blocks);
  switch (args.kind) {
    case KVASIR_ROOF_EMPTY: return launcher.run<RoofEmpty>(plan, args);
    case KVASIR_ROOF_READ: return launcher.run<RoofRead>(plan, args);
    case KVASIR_ROOF_MULTIPLY: return launcher.run<RoofMultiply>(plan, args);
    default: return launcher.refuse("roofProbe: there is no such kind");
  }
}

}  // namespace kvasir::gpu
