// K rows for selectors, from wherever they are.
#pragma once

#include "tiered_arena.h"

namespace kvasir::tier {

class TieredArena::Keys final : public KeyRows {
 public:
  Keys(TieredArena& arena, int layer, const std::int32_t* pages) : arena_(arena), layer_(layer), pages_(pages) {}

  void expect(int kvHead, const std::int32_t* indices, int count) override {
    arena_.expectKeys(layer_, pages_, kvHead, indices, count);
  }

  const std::uint8_t* const* rows(Context& context, int kvHead, const std::int32_t* indices, int count) override {
    return arena_.keysOf(context, layer_, pages_, kvHead, indices, count);
  }

 private:
  TieredArena& arena_;
  int layer_;
  const std::int32_t* pages_;
};

}  // namespace kvasir::tier
