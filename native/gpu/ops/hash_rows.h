// Hashes of rows: f32 products by tiles of 64 rows and 64 hashes, each summed by one thread in order of dim, then signs,
// floors or the products themselves.
#pragma once

#include "../args/hash_rows.h"
#include "../context/launcher.h"

namespace kvasir::gpu {

// Bound: f32 fused multiply-adds, 32 a thread for three loads of 16 bytes from shared memory.
template <int kKind>
struct HashRows {
  using Args = KvasirHashRowsArgs;

  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 4;
  static constexpr int kTileRows = 64, kTileHashes = 64, kPanelHashes = 32;
  static constexpr int kDepth = 32;       // values of a row in a stage
  static constexpr int kRowFloats = 36;   // 16 bytes more than they need: neighbouring rows then lie in other banks
  static constexpr int kStageFloats = kTileRows * kRowFloats + kDepth * kTileHashes;
  static constexpr unsigned kSharedBytes = 2 * kStageFloats * sizeof(float);
  // A thread has rows group, group + 16, ... and hashes 4 column to 4 column + 3 of each of two panels.
  static constexpr int kRows = 4, kRowGroups = 16, kColumns = 8;

  struct Regs {
    float sums[kRows][8];
    std::uint32_t words[kRows][2];
  };

  static Plan plan(const Args& args) {
    return {static_cast<unsigned>(ceilDiv(args.rows, kTileRows)), static_cast<unsigned>(args.numHashes / kTileHashes), kSharedBytes};
  }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    typename Cx::template Threads<Regs> regs(cx);
    auto stages = cx.template shared<float>(2 * kStageFloats);
    const int steps = ceilDiv(args.dim, kDepth);
    cx.each(regs, [&](int, Regs& r) {
      KVASIR_UNROLL
      for (int i = 0; i < kRows; ++i) {
        KVASIR_UNROLL
        for (int h = 0; h < 8; ++h) r.sums[i][h] = 0.0f;
      }
    });
    load(cx, args, stages, 0);
    cx.commit();
    for (int step = 0; step < steps; ++step) {
      if (step + 1 < steps) load(cx, args, stages + (step + 1) % 2 * kStageFloats, step + 1);
      cx.commit();
      cx.waitAsync(1);
      cx.barrier();
      multiply(cx, regs, stages + step % 2 * kStageFloats, least(kDepth, args.dim - step * kDepth));
      cx.barrier();
    }
    if constexpr (kKind == KVASIR_HASH_SIGNS) packSigns(cx, regs);
    cx.each(regs, [&](int thread, Regs& r) { store(cx, args, thread, r); });
  }

 private:
  // Rows [row][kDepth], then planes [kDepth][hash]; what lies behind the last row or the last value is zero.
  template <class Cx, class Stage>
  static KVASIR_DEVICE void load(Cx& cx, const Args& args, Stage stage, int step) {
    const int firstRow = cx.blockX() * kTileRows, first = step * kDepth;
    const std::size_t dim = static_cast<std::size_t>(args.dim);
    cx.each([&](int thread) {
      KVASIR_UNROLL
      for (int i = 0; i < kTileRows * kDepth / 4 / kThreads; ++i) {
        const int vector = i * kThreads + thread, row = vector / (kDepth / 4), at = first + vector % (kDepth / 4) * 4;
        const bool inside = firstRow + row < args.rows && at < args.dim;
        const float* from = inside ? args.x + static_cast<std::size_t>(firstRow + row) * dim + at : args.x;
        cx.copyAsync(stage + row * kRowFloats + vector % (kDepth / 4) * 4, from, inside ? 16 : 0);
      }
      KVASIR_UNROLL
      for (int i = 0; i < kTileHashes * kDepth / 4 / kThreads; ++i) {
        const int vector = i * kThreads + thread, k = vector / (kTileHashes / 4), hash = vector % (kTileHashes / 4) * 4;
        const bool inside = first + k < args.dim;
        const std::size_t panel = static_cast<std::size_t>(cx.blockY() * 2 + hash / kPanelHashes);
        const std::size_t row = panel * dim + static_cast<std::size_t>(inside ? first + k : 0);
        cx.copyAsync(stage + kTileRows * kRowFloats + k * kTileHashes + hash, args.panels + row * kPanelHashes + hash % kPanelHashes,
                     inside ? 16 : 0);
      }
    });
  }

  template <class Cx, class Stage>
  static KVASIR_DEVICE void multiply(Cx& cx, typename Cx::template Threads<Regs>& regs, Stage stage, int depth) {
    cx.each(regs, [&](int thread, Regs& r) {
      const auto rows = stage + thread / kColumns * kRowFloats, planes = stage + kTileRows * kRowFloats + thread % kColumns * 4;
      for (int k = 0; k < depth; k += 4) {
        Vec16 x[kRows];
        KVASIR_UNROLL
        for (int i = 0; i < kRows; ++i) x[i] = cx.load16(rows + i * kRowGroups * kRowFloats + k);
        KVASIR_UNROLL
        for (int j = 0; j < 4; ++j) {
          const Vec16 low = cx.load16(planes + (k + j) * kTileHashes), high = cx.load16(planes + (k + j) * kTileHashes + kPanelHashes);
          KVASIR_UNROLL
          for (int i = 0; i < kRows; ++i) {
            KVASIR_UNROLL
            for (int h = 0; h < 4; ++h) {
              r.sums[i][h] = cx.fma(cx.asFloat(x[i].word[j]), cx.asFloat(low.word[h]), r.sums[i][h]);
              r.sums[i][4 + h] = cx.fma(cx.asFloat(x[i].word[j]), cx.asFloat(high.word[h]), r.sums[i][4 + h]);
            }
          }
        }
      }
    });
  }

  // Words of 32 signs out of the four that each of eight neighbouring threads has.
  template <class Cx>
  static KVASIR_DEVICE void packSigns(Cx& cx, typename Cx::template Threads<Regs>& regs) {
    cx.each(regs, [](int thread, Regs& r) {
      KVASIR_UNROLL
      for (int i = 0; i < 2 * kRows; ++i) {
        std::uint32_t bits = 0;
        KVASIR_UNROLL
        for (int h = 0; h < 4; ++h) bits |= (r.sums[i / 2][i % 2 * 4 + h] >= 0.0f ? 1u : 0u) << h;
        r.words[i / 2][i % 2] = bits << (thread % kColumns * 4);
      }
    });
    KVASIR_UNROLL
    for (int i = 0; i < 2 * kRows; ++i) {
      cx.template warpSum<kColumns>(regs, [i](Regs& r) -> std::uint32_t& { return r.words[i / 2][i % 2]; });
    }
  }

  // 128 + floor((product + offset) / width), held to a byte; NaN gives 0.
  static KVASIR_DEVICE std::uint32_t cellOf(float product, float offset, float width) {
    const float at = (product + offset) / width;
    if (!(at >= -128.0f)) return 0;
    if (at >= 127.0f) return 255;
    const int whole = static_cast<int>(at);
    return static_cast<std::uint32_t>(128 + whole - (static_cast<float>(whole) > at ? 1 : 0));
  }

  template <class Cx>
  static KVASIR_DEVICE void store(Cx& cx, const Args& args, int thread, const Regs& r) {
    const int column = thread % kColumns, firstHash = cx.blockY() * kTileHashes;
    KVASIR_UNROLL
    for (int i = 0; i < kRows; ++i) {
      const int row = cx.blockX() * kTileRows + i * kRowGroups + thread / kColumns;
      if (row >= args.rows) continue;
      const std::size_t at = static_cast<std::size_t>(row) * static_cast<std::size_t>(args.numHashes) + static_cast<std::size_t>(firstHash);
      if constexpr (kKind == KVASIR_HASH_SIGNS) {
        if (column == i) cx.store8(static_cast<std::uint8_t*>(args.out) + at / 8, {{r.words[i][0], r.words[i][1]}});
      } else {
        KVASIR_UNROLL
        for (int half = 0; half < 2; ++half) {
          const int hash = half * kPanelHashes + column * 4;
          const float* sums = r.sums[i] + half * 4;
          if constexpr (kKind == KVASIR_HASH_PRODUCTS) {
            cx.store16(static_cast<float*>(args.out) + at + hash,
                       {{cx.asBits(sums[0]), cx.asBits(sums[1]), cx.asBits(sums[2]), cx.asBits(sums[3])}});
          } else {
            const Vec16 offsets = cx.load16(args.offsets + firstHash + hash);
            std::uint32_t cells = 0;
            KVASIR_UNROLL
            for (int h = 0; h < 4; ++h) cells |= cellOf(sums[h], cx.asFloat(offsets.word[h]), args.width) << (8 * h);
            *reinterpret_cast<std::uint32_t*>(static_cast<std::uint8_t*>(args.out) + at + hash) = cells;
          }
        }
      }
    }
  }
};

inline int launchHashRows(Launcher launcher, const KvasirHashRowsArgs& args) {
  if (args.rows < 0) return launcher.refuse("hashRows: rows is negative");
  if (args.numHashes <= 0 || args.numHashes % 64 != 0 || args.numHashes > KVASIR_MAX_HASHES) {
    return launcher.refuse("hashRows: numHashes must be a multiple of 64, at most 4096");
  }
  if (args.dim <= 0 || args.dim % 4 != 0) return launcher.refuse("hashRows: dim must be a multiple of 4");
  if (args.kind == KVASIR_HASH_FLOORS && !(args.width > 0.0f)) return launcher.refuse("hashRows: width must be positive");
  if (args.kind < KVASIR_HASH_SIGNS || args.kind > KVASIR_HASH_PRODUCTS) return launcher.refuse("hashRows: there is no such kind");
  if (args.rows == 0) return KVASIR_GPU_OK;
  if (args.kind == KVASIR_HASH_SIGNS) return launcher.run<HashRows<KVASIR_HASH_SIGNS>>(HashRows<KVASIR_HASH_SIGNS>::plan(args), args);
  if (args.kind == KVASIR_HASH_FLOORS) return launcher.run<HashRows<KVASIR_HASH_FLOORS>>(HashRows<KVASIR_HASH_FLOORS>::plan(args), args);
  return launcher.run<HashRows<KVASIR_HASH_PRODUCTS>>(HashRows<KVASIR_HASH_PRODUCTS>::plan(args), args);
}

}  // namespace kvasir::gpu
