// forgetPages against a plain model of the cache.
#include "tier_case.h"

namespace kvasir::gpu::test {

void tests::forgetPages(Suite& suite) {
  for (int i = 0; i < 40; ++i) {
    const std::vector<int> tokens = {30 + 20 * (i % 4)};
    const TierShape shape = shapeFor(1 + i % 3, 1, 16, 5 + 9 * (i % 5), i % 2 == 1, tokens);
    const int count = i % 9 < shape.numPages ? i % 9 : shape.numPages;
    const Life life = {shape, tokens, 0.5, 3, false};
    suite.run("forgetPages", std::to_string(count) + " pages, " + nameOf(life), [&](Case& c) {
      TierCase tier(c, shape);
      const Tables tables = drawTables(c, life);
      for (int layer = 0; layer < kLayers; ++layer) tier.bring(layer, tables, drawLists(c, life, 0.1));
      tier.forget(drawDistinct(c.random, count, shape.numPages));
      // What left its slots comes up again, into them.
      for (int layer = 0; layer < kLayers; ++layer) tier.bring(layer, tables, drawLists(c, life, 0.1));
    });
  }
  suite.run("forgetPages", "misuse is refused", [](Case& c) {
    KvasirForgetPagesArgs args{};
    args.hot.numSlots = args.hot.numUnits = args.numLayers = 1;
    c.check(c.gpu.forgetPages(c.stream, &args) == KVASIR_GPU_INVALID, "no heads");
    args.numKvHeads = 1;
    args.count = -1;
    c.check(c.gpu.forgetPages(c.stream, &args) == KVASIR_GPU_INVALID, "negative count");
  });
}

}  // namespace kvasir::gpu::test
