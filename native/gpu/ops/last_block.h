// The last of several blocks to come does what needs the work of all: no second launch.
#pragma once

#include "../context/vocabulary.h"

namespace kvasir::gpu {

// Called by all threads of `blocks` blocks that share a ticket, 0 before the first and again after the last. True in the
// last one, which then sees what the others wrote to global memory before they called. `word` is one word of shared memory.
template <class Cx>
KVASIR_DEVICE bool isLastBlock(Cx& cx, typename Cx::template Shared<std::uint32_t> word, std::uint32_t* ticket,
                               std::uint32_t blocks) {
  cx.each([&](int) { cx.threadFence(); });
  cx.barrier();
  cx.each([&](int thread) {
    if (thread != 0) return;
    const std::uint32_t before = cx.atomicAdd(ticket, std::uint32_t{1});
    word[0] = before + 1 == blocks ? 1 : 0;
  });
  cx.barrier();
  const std::uint32_t last = word[0];
  cx.each([&](int thread) {
    cx.threadFence();
    if (thread == 0 && last != 0) *ticket = 0;
  });
  return last != 0;
}

}  // namespace kvasir::gpu
