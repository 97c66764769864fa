// Lengths of rows, and f16 of them at one length: a warp a row.
#pragma once

#include "../args/prepare_rows.h"
#include "../context/launcher.h"
#include "elements.h"

namespace kvasir::gpu {

// Bound: copies.
struct PrepareRows {
  using Args = KvasirPrepareRowsArgs;

  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 8;
  static constexpr unsigned kSharedBytes = 0;
  static constexpr int kRows = kThreads / kWarp;

  struct Regs {
    double square;
  };

  static Plan plan(int rows) { return {static_cast<unsigned>(ceilDiv(rows, kRows)), 1, 0}; }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    typename Cx::template Threads<Regs> regs(cx);
    cx.warps([&](int warp) {
      const int row = cx.blockX() * kRows + warp;
      if (row >= args.rows) return;
      const float* x = args.x + static_cast<std::size_t>(row) * static_cast<std::size_t>(args.dim);
      const int padded = KVASIR_PADDED_DIM(args.dim);
      std::uint16_t* halves = args.halves + static_cast<std::size_t>(row) * static_cast<std::size_t>(padded);
      cx.each(regs, [&](int thread, Regs& r) {
        r.square = 0.0;
        for (int i = thread % kWarp * 4; i < args.dim; i += 4 * kWarp) {
          float values[4];
          loadFloats<4>(cx, x + i, values);
          KVASIR_UNROLL
          for (int j = 0; j < 4; ++j) r.square += static_cast<double>(values[j]) * static_cast<double>(values[j]);
        }
      });
      cx.warpSum(regs, &Regs::square);
      cx.each(regs, [&](int thread, Regs& r) {
        const double length = cx.sqrt(r.square);
        if (thread % kWarp == 0) args.lengths[row] = static_cast<float>(length);
        const double scale = length == 0.0 ? 0.0 : KVASIR_PREPARED_LENGTH / length;
        for (int i = thread % kWarp * 8; i < padded; i += 8 * kWarp) {
          float values[8] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
          if (i < args.dim) loadFloats<4>(cx, x + i, values);
          if (i + 4 < args.dim) loadFloats<4>(cx, x + i + 4, values + 4);
          KVASIR_UNROLL
          for (int j = 0; j < 8; ++j) values[j] = static_cast<float>(static_cast<double>(values[j]) * scale);
          cx.store16(halves + i, pack<Half>(cx, values));
        }
      });
    });
  }
};

inline int launchPrepareRows(Launcher launcher, const KvasirPrepareRowsArgs& args) {
  if (args.rows < 0) return launcher.refuse("prepareRows: rows is negative");
  if (args.dim <= 0 || args.dim % 4 != 0) return launcher.refuse("prepareRows: dim must be a multiple of 4");
  if (args.rows == 0) return KVASIR_GPU_OK;
  return launcher.run<PrepareRows>(PrepareRows::plan(args.rows), args);
}

}  // namespace kvasir::gpu
