// Pages that lose their slots: pages along x, layers along y.
#pragma once

#include "../args/forget_pages.h"
#include "../context/launcher.h"
#include "rows.h"

namespace kvasir::gpu {

struct ForgetPages {
  using Args = KvasirForgetPagesArgs;

  static constexpr int kThreads = kCopyThreads;
  static constexpr int kMinBlocks = 8;
  static constexpr unsigned kSharedBytes = 0;

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const KvasirHotRows& hot = args.hot;
    const int units = args.numKvHeads * (hot.blocks != 0 ? 1 : KVASIR_PAGE_TOKENS), layer = cx.blockY();
    std::int32_t* places = hot.places + wide(layer) * wide(hot.numUnits) + wide(args.pages[cx.blockX()]) * wide(units);
    cx.each([&](int thread) {
      for (int unit = thread; unit < units; unit += kThreads) {
        const std::int32_t place = places[unit];
        if (place == 0) continue;
        places[unit] = 0;
        hot.units[wide(layer) * wide(hot.numSlots) + wide(place - 1)] = 0;
        cx.atomicAdd(&hot.state[layer].filled, -1);
      }
    });
  }
};

inline int launchForgetPages(Launcher launcher, const KvasirForgetPagesArgs& args) {
  if (args.count < 0 || args.numLayers < 0) return launcher.refuse("forgetPages: a count is negative");
  if (args.numKvHeads < 1 || args.hot.numSlots < 1 || args.hot.numUnits < 1) return launcher.refuse("forgetPages: there must be heads, slots and units");
  Plan plan;
  plan.gridX = static_cast<unsigned>(args.count);
  plan.gridY = static_cast<unsigned>(args.numLayers);
  return launcher.run<ForgetPages>(plan, args);
}

}  // namespace kvasir::gpu
