// Pages, or one layer of them, from one set to another: a block takes 8 KiB of a page at a time.
#pragma once

#include "../args/copy_pages.h"
#include "../context/launcher.h"
#include "rows.h"

namespace kvasir::gpu {

// Bound: copies.
struct CopyPages {
  struct Args {
    KvasirPages from;
    KvasirPages to;
    int count;
    std::size_t offset;
    std::size_t bytes;
    int chunks;  // of a page
  };

  static constexpr int kThreads = kCopyThreads;
  static constexpr int kMinBlocks = 8;
  static constexpr unsigned kSharedBytes = 0;
  static constexpr int kVectors = 4;  // that a thread has under way
  static constexpr std::size_t kChunkBytes = 16 * kThreads * kVectors;

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    cx.each([&](int thread) {
      const long long pieces = static_cast<long long>(args.count) * args.chunks;
      for (long long piece = cx.blockX(); piece < pieces; piece += cx.gridX()) {
        const int page = static_cast<int>(piece / args.chunks);
        const std::size_t chunk = static_cast<std::size_t>(piece % args.chunks) * kChunkBytes;
        const std::uint8_t* from = args.from.base + static_cast<std::size_t>(args.from.pages[page]) * args.from.pageStride + args.offset;
        std::uint8_t* to = args.to.base + static_cast<std::size_t>(args.to.pages[page]) * args.to.pageStride + args.offset;
        Vec16 values[kVectors];
        // All loads before the first store: the link to the host is as fast as there is on its way.
        KVASIR_UNROLL
        for (int i = 0; i < kVectors; ++i) {
          const std::size_t at = chunk + static_cast<std::size_t>(16 * (i * kThreads + thread));
          if (at < args.bytes) values[i] = cx.load16(from + at);
        }
        KVASIR_UNROLL
        for (int i = 0; i < kVectors; ++i) {
          const std::size_t at = chunk + static_cast<std::size_t>(16 * (i * kThreads + thread));
          if (at < args.bytes) cx.store16(to + at, values[i]);
        }
      }
    });
  }
};

inline int launchCopyPages(Launcher launcher, const KvasirCopyPagesArgs& args) {
  if (args.count < 0) return launcher.refuse("copyPages: count is negative");
  if ((args.offset | args.bytes | args.from.pageStride | args.to.pageStride) % 16 != 0) {
    return launcher.refuse("copyPages: offset, bytes and strides must be multiples of 16");
  }
  if (args.count > 0 && args.offset + args.bytes > least(args.from.pageStride, args.to.pageStride)) {
    return launcher.refuse("copyPages: the part ends behind its page");
  }
  if (args.count == 0 || args.bytes == 0) return KVASIR_GPU_OK;
  const int chunks = static_cast<int>(ceilDiv(args.bytes, CopyPages::kChunkBytes));
  Plan plan;
  plan.gridX = boundedGrid(static_cast<long long>(args.count) * chunks, args.maxBlocks);
  return launcher.run<CopyPages>(plan, {args.from, args.to, args.count, args.offset, args.bytes, chunks});
}

}  // namespace kvasir::gpu
