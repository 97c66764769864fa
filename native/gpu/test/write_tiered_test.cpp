// writeTiered against a plain model of the cache.
#include "tier_case.h"

namespace kvasir::gpu::test {

void tests::writeTiered(Suite& suite) {
  const int headDims[] = {8, 16, 64, 80, 128, 256, 512}, rows[] = {0, 1, 3, 16, 70};
  for (int i = 0; i < 42; ++i) {
    const std::vector<int> tokens = {100};
    const TierShape shape = shapeFor(1 + i % 3, 1, headDims[i % 7], 4 + 30 * (i % 4), i / 2 % 2 == 1, tokens);
    const int count = rows[i % 5];
    const Life life = {shape, tokens, 0.4, 5, false};
    suite.run("writeTiered", std::to_string(count) + " rows, " + nameOf(life), [&](Case& c) {
      TierCase tier(c, shape);
      const Tables tables = drawTables(c, life);
      tier.bring(kLayer, tables, drawLists(c, life, 0.2));
      std::vector<std::int32_t> slots = drawDistinct(c.random, count, 16 * shape.numPages);
      for (std::int32_t& slot : slots) {
        if (drawInt(c.random, 0, 7) == 0) slot = -1;
      }
      tier.write(kLayer, slots);
      tier.write(0, slots);
    });
  }
  suite.run("writeTiered", "misuse is refused", [](Case& c) {
    KvasirWriteTieredArgs args{};
    c.check(c.gpu.writeTiered(c.stream, &args) == KVASIR_GPU_INVALID, "no view");
    args.to.kv = viewOf(AttentionShape{KVASIR_F16, 1, 1, 16, {}});
    args.hot.numSlots = args.hot.numUnits = 1;
    args.rows = -1;
    c.check(c.gpu.writeTiered(c.stream, &args) == KVASIR_GPU_INVALID, "negative rows");
    args.rows = 0;
    args.to.kv.type = KVASIR_F32;
    c.check(c.gpu.writeTiered(c.stream, &args) == KVASIR_GPU_INVALID, "f32");
  });
}

}  // namespace kvasir::gpu::test
