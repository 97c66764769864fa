// Bound: the rows once. A thread takes 16 columns of a row: the share of one lane.
#pragma once

#include "../args/embed_rows.h"
#include "../context/launcher.h"
#include "row_vectors.h"
#include "weight_tiles.h"

namespace kvasir::gpu {

struct EmbedRows {
  struct Args {
    KvasirEmbedRowsArgs op;
    int stored, tiles;
    bool vectors;
  };

  static constexpr int kThreads = 128, kMinBlocks = 4;
  static constexpr unsigned kSharedBytes = 0;

  static Plan plan(int rows, int tiles) { return {static_cast<unsigned>(rows), static_cast<unsigned>(ceilDiv(4 * tiles, kThreads)), 0}; }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    cx.each([&](int thread) {
      const int share = cx.blockY() * kThreads + thread, tile = share / 4;
      if (tile >= args.tiles) return;
      const int id = args.op.ids[cx.blockX()], row = id % kGroupRows;
      float* out = args.op.out + static_cast<std::size_t>(cx.blockX()) * args.op.outStride;
      withStoredType(args.stored, [&](auto type) {
        constexpr TileLayout kLayout = tileLayoutOf(decltype(type)::value);
        const std::uint32_t* group = static_cast<const std::uint32_t*>(args.op.table.data) +
                                     static_cast<std::size_t>(id / kGroupRows) * kLayout.groupWords(args.tiles);
        TileSteps<decltype(type)::value, 4> steps;
        steps.load(cx, group + kLayout.tileOf(tile), group + kLayout.headOf(tile), 4 * (row % 8) + share % 4, 0);
        const RowScales scales = steps.rowScales(cx);
        KVASIR_UNROLL
        for (int s = 0; s < 4; ++s) {
          const int k = tile * kTileCols + 16 * (share % 4) + 4 * s;
          float lower[4], upper[4];
          KVASIR_UNROLL
          for (int i = 0; i < 2; ++i) {
            steps.floats(cx, scales, s, 2 * i, lower[2 * i], lower[2 * i + 1]);
            steps.floats(cx, scales, s, 2 * i + 1, upper[2 * i], upper[2 * i + 1]);
          }
          KVASIR_UNROLL
          for (int i = 0; i < 4; ++i) lower[i] = row < 8 ? lower[i] : upper[i];
          storeUpTo4(cx, out + k, args.op.table.cols - k, args.vectors, lower);
        }
      });
    });
  }
};

inline int launchEmbedRows(Launcher launcher, const KvasirEmbedRowsArgs& args) {
  if (args.rows < 0 || args.table.rows < 0 || args.table.cols < 0) return launcher.refuse("embedRows: a count is negative");
  if (tileLayoutOf(args.table.type).bits == 0) return launcher.refuse("embedRows: unknown weight type");
  if (!isAligned(args.table.data)) return launcher.refuse("embedRows: the table must be 16-byte aligned");
  if (args.rows == 0 || args.table.cols == 0) return KVASIR_GPU_OK;
  const int tiles = tilesOf(args.table.cols);
  const bool vectors = args.outStride % 4 == 0 && isAligned(args.out);
  return launcher.run<EmbedRows>(EmbedRows::plan(args.rows, tiles), {args, storedAs(args.table.type), tiles, vectors});
}

}  // namespace kvasir::gpu
