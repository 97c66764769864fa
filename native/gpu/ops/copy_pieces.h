// Copies pieces that a list in device memory names: a warp takes 2 KiB of one at a time.
#pragma once

#include "../args/copy_pieces.h"
#include "../context/launcher.h"
#include "rows.h"

namespace kvasir::gpu {

struct CopyPieces {
  struct Args {
    const KvasirPiece* pieces;
    int count;
  };

  static constexpr int kThreads = kCopyThreads;
  static constexpr int kMinBlocks = 8;
  static constexpr unsigned kSharedBytes = 0;
  static constexpr int kVectors = 4;  // that a lane has under way: 2 KiB a warp
  static constexpr std::size_t kChunkBytes = 16 * kWarp * kVectors;

  // Pieces along x, their chunks along y.
  static Plan plan(int count, std::size_t maxBytes, int maxBlocks) {
    Plan plan;
    plan.gridY = static_cast<unsigned>(least<std::size_t>(ceilDiv(maxBytes, kChunkBytes), maxBlocks > 0 ? 1 : 1024));
    plan.gridX = boundedGrid(ceilDiv(count, kThreads / kWarp), maxBlocks);
    return plan;
  }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    cx.each([&](int thread) {
      const int lane = thread % kWarp, step = cx.gridX() * (kThreads / kWarp);
      for (int p = cx.blockX() * (kThreads / kWarp) + thread / kWarp; p < args.count; p += step) {
        const KvasirPiece piece = args.pieces[p];
        const std::uint8_t* from = static_cast<const std::uint8_t*>(piece.from);
        std::uint8_t* to = static_cast<std::uint8_t*>(piece.to);
        for (std::size_t chunk = cx.blockY() * kChunkBytes; chunk < piece.bytes; chunk += cx.gridY() * kChunkBytes) {
          Vec16 values[kVectors];
          // All loads before the first store: the link to the host is as fast as there is on its way.
          KVASIR_UNROLL
          for (int i = 0; i < kVectors; ++i) {
            const std::size_t at = chunk + static_cast<std::size_t>(16 * (i * kWarp + lane));
            if (at < piece.bytes) values[i] = cx.load16(from + at);
          }
          KVASIR_UNROLL
          for (int i = 0; i < kVectors; ++i) {
            const std::size_t at = chunk + static_cast<std::size_t>(16 * (i * kWarp + lane));
            if (at < piece.bytes) cx.store16(to + at, values[i]);
          }
        }
      }
    });
  }
};

inline int launchCopyPieces(Launcher launcher, const KvasirCopyPiecesArgs& args) {
  if (args.count < 0) return launcher.refuse("copyPieces: count is negative");
  if (args.count == 0 || args.maxBytes == 0) return KVASIR_GPU_OK;
  return launcher.run<CopyPieces>(CopyPieces::plan(args.count, args.maxBytes, args.maxBlocks), {args.pieces, args.count});
}

}  // namespace kvasir::gpu
