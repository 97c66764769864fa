// out[r] = x[ids[r]] and out[ids[r]] = x[r]: one kernel, read from either side.
#pragma once

#include <string>

#include "../args/gather_rows.h"
#include "../args/scatter_rows.h"
#include "../context/launcher.h"
#include "rows.h"

namespace kvasir::gpu {

template <bool kScatters>
struct MoveRows {
  struct Args {
    const std::uint8_t* x;
    std::size_t xStride;
    const std::int32_t* ids;
    int rows;
    std::uint8_t* out;
    std::size_t outStride;
    int vectors;   // of 16 bytes, a row
    int laneBits;  // log2 of the threads that a row gets
  };

  static constexpr int kThreads = kCopyThreads;
  static constexpr int kMinBlocks = 8;
  static constexpr unsigned kSharedBytes = 0;

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const int rowsPerBlock = kThreads >> args.laneBits;
    cx.each([&](int thread) {
      const int lane = thread & ((1 << args.laneBits) - 1);
      for (int r = cx.blockX() * rowsPerBlock + (thread >> args.laneBits); r < args.rows; r += cx.gridX() * rowsPerBlock) {
        const int id = args.ids[r];
        if (kScatters && id < 0) continue;
        const std::size_t from = static_cast<std::size_t>(kScatters ? r : id), to = static_cast<std::size_t>(kScatters ? id : r);
        const std::uint8_t* source = args.x + from * args.xStride;
        std::uint8_t* target = args.out + to * args.outStride;
        for (int v = lane; v < args.vectors; v += 1 << args.laneBits) cx.store16(target + 16 * v, cx.load16(source + 16 * v));
      }
    });
  }
};

template <bool kScatters, class OpArgs>
int launchMoveRows(Launcher launcher, const char* name, const OpArgs& args) {
  if (args.rows < 0) return launcher.refuse(std::string(name) + ": rows is negative");
  if (args.rowBytes % 16 != 0 || args.xStride % 16 != 0 || args.outStride % 16 != 0) {
    return launcher.refuse(std::string(name) + ": rowBytes and strides must be multiples of 16");
  }
  if (args.rows == 0 || args.rowBytes == 0) return KVASIR_GPU_OK;
  const int vectors = static_cast<int>(args.rowBytes / 16), laneBits = log2Of(lanesOf(args.rowBytes / 16));
  Plan plan;
  plan.gridX = boundedGrid(ceilDiv(args.rows, kCopyThreads >> laneBits), args.maxBlocks);
  return launcher.run<MoveRows<kScatters>>(plan, {static_cast<const std::uint8_t*>(args.x), args.xStride, args.ids, args.rows,
                                                  static_cast<std::uint8_t*>(args.out), args.outStride, vectors, laneBits});
}

}  // namespace kvasir::gpu
