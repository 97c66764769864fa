// attentionMass against float64 on the stored bits, with lse and without.
#include "prefill_case.h"

namespace kvasir::gpu::test {
namespace {

struct How {
  int window = 0;
  int exact = 0;
};


std::vector<double> massExactly(const AttentionCache& cache, const PrefillRows& rows, const How& how, std::size_t stride,
                                std::vector<float>& lse) {
  const AttentionShape& shape = cache.shape;
  std::vector<double> mass(static_cast<std::size_t>(shape.numHeads()) * stride, 0.0);
  lse.clear();
  for (const std::int32_t position : rows.positions) {
    const std::vector<float> q = queryOf(shape, 1, 0, position);
    const std::vector<int> seen = indicesSeen(position, how.window);
    for (int head = 0; head < shape.numHeads(); ++head) {
      const std::vector<double> scores = cache.scores(0, head / shape.group, q.data() + head * shape.headDim, static_cast<double>(scaleOf(shape)), seen);
      const double max = *std::max_element(scores.begin(), scores.end());
      double sum = 0.0;
      for (const double score : scores) sum += std::exp(score - max);
      lse.push_back(static_cast<float>(max + std::log(sum)));
      for (std::size_t i = 0; i < seen.size(); ++i) {
        mass[static_cast<std::size_t>(head) * stride + static_cast<std::size_t>(seen[i])] += std::exp(scores[i] - max) / sum;
      }
    }
  }
  return mass;
}

// On top of what `before` holds.
std::vector<float> massOf(Case& c, const AttentionCache& cache, const PrefillRows& rows, const How& how, std::size_t stride,
                          const std::vector<float>& before, const std::vector<float>* lse) {
  const AttentionShape& shape = cache.shape;
  const DeviceRows device(c, cache, rows, queriesOf(shape, 1, rows));
  const auto mass = c.upload(before);
  const auto known = c.upload(lse == nullptr ? std::vector<float>() : *lse);
  const int most = mostTokens(shape);
  const std::size_t bytes = kvasirAttentionMassWorkspaceBytes(rows.count(), shape.numHeads(), shape.numKvHeads, shape.headDim, most);
  const auto workspace = c.poisoned<std::uint8_t>(bytes, true);
  c.ok(c.gpu.fill(c.stream, workspace.get(), 0, kvasirAttendPrefillTicketBytes(rows.count(), 1, shape.numHeads(), shape.numKvHeads)), "fill");
  KvasirAttentionMassArgs args{};
  args.kv = device.kv;
  args.layer = kLayer;
  args.q = device.q.get();
  args.numHeads = shape.numHeads();
  args.scale = scaleOf(shape);
  args.windowTokens = how.window;
  args.batch = device.batch;
  args.maxTokens = most;
  args.exact = how.exact;
  args.lse = lse == nullptr ? nullptr : known.get();
  args.mass = mass.get();
  args.massStride = stride;
  args.workspace = workspace.get();
  args.workspaceBytes = bytes;
  c.ok(c.gpu.attentionMass(c.stream, &args), "attentionMass");
  return c.download(mass);
}

void testMass(Suite& suite, const AttentionShape& shape, const How& how, const std::function<PrefillRows(Random&)>& draw, const std::string& name) {
  std::string text = std::string(shape.type == KVASIR_F16 ? "f16 " : "f32 ") + std::to_string(shape.numKvHeads) + " x " + std::to_string(shape.group) +
                     " x " + std::to_string(shape.headDim) + ", " + name + " of " + std::to_string(shape.tokens[0]);
  if (how.window > 0) text += ", window " + std::to_string(how.window);
  if (how.exact != 0) text += ", exact";
  suite.run("attentionMass", text, [&](Case& c) {
    const bool isMma = shape.type == KVASIR_F16 && how.exact == 0 && shape.headDim % 16 == 0;
    const AttentionCache cache(c.random, shape);
    const PrefillRows rows = draw(c.random);
    const std::size_t stride = static_cast<std::size_t>(shape.tokens[0] + 3);
    std::vector<float> lse;
    const std::vector<double> want = massExactly(cache, rows, how, stride, lse);
    const std::vector<float> none(want.size(), 0.0f);
    const std::vector<float> got = massOf(c, cache, rows, how, stride, none, nullptr);
    c.close(got, want, isMma ? kMassMma : kMassSimt, "mass");
    for (int head = 0; head < shape.numHeads(); ++head) {
      double sum = 0.0;
      for (std::size_t i = 0; i < stride; ++i) sum += static_cast<double>(got[static_cast<std::size_t>(head) * stride + i]);
      c.check(std::fabs(sum - rows.count()) <= (isMma ? 1e-3 : 2e-5) * rows.count(), "mass of all keys is the number of rows, not " + std::to_string(sum));
    }
    c.same(massOf(c, cache, rows, how, stride, none, nullptr), got, "the same again");
    // With lse, and on top of something: what no row sees keeps its bits.
    std::vector<float> before = none;
    for (std::size_t i = 0; i < before.size(); ++i) before[i] = static_cast<float>(i % 5);
    std::vector<double> sums = want;
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += static_cast<double>(before[i]);
    const std::vector<float> added = massOf(c, cache, rows, how, stride, before, &lse);
    c.close(added, sums, isMma ? kMassMma : kMassSimt, "mass with lse, added");
    for (std::size_t i = 0; i < sums.size(); ++i) {
      if (want[i] == 0.0) c.check(added[i] == before[i], "a key that no row sees");
    }
  });
}

void testWindow(Suite& suite, const AttentionShape& shape, const How& how, int rows) {
  testMass(suite, shape, how, [&](Random&) { return PrefillRows::last(shape.tokens, {rows}); }, "last " + std::to_string(rows));
}

void testAnywhere(Suite& suite, const AttentionShape& shape, const How& how, const std::vector<int>& positions) {
  testMass(suite, shape, how, [&](Random&) { return PrefillRows::at({positions}); }, std::to_string(positions.size()) + " rows");
}

void testRefusals(Suite& suite) {
  suite.run("attentionMass", "bad arguments are refused", [](Case& c) {
    const auto refuses = [&](const char* what, auto change) {
      KvasirAttentionMassArgs args{};
      args.kv = viewOf({KVASIR_F16, 2, 2, 64, {}});
      args.numHeads = 4;
      args.batch.numSequences = 1;
      args.batch.numRows = 1;
      args.maxTokens = 100;
      args.massStride = 100;
      args.workspace = &args;
      args.workspaceBytes = 1 << 30;
      change(args);
      c.check(c.gpu.attentionMass(c.stream, &args) == KVASIR_GPU_INVALID, std::string("not refused: ") + what);
      c.check(std::string(c.gpu.lastError()).find("attentionMass") != std::string::npos, "the text names the op");
    };
    refuses("an unknown type", [](auto& a) { a.kv.type = 7; });
    refuses("headDim 12 of f16", [](auto& a) { a.kv.headDim = 12; });
    refuses("heads that do not divide", [](auto& a) { a.numHeads = 5; });
    refuses("two sequences", [](auto& a) { a.batch.numSequences = 2; });
    refuses("a short stride", [](auto& a) { a.massStride = 99; });
    refuses("a small workspace", [](auto& a) { a.workspaceBytes = 100; });
    refuses("no workspace", [](auto& a) { a.workspace = nullptr; });
  });
  suite.run("attentionMass", "no rows", [](Case& c) {
    const AttentionShape shape = {KVASIR_F16, 1, 2, 32, {20}};
    const AttentionCache cache(c.random, shape);
    const std::vector<float> before(46, 2.0f);
    c.same(massOf(c, cache, PrefillRows::last(shape.tokens, {0}), {}, 23, before, nullptr), before, "mass");
  });
}

}  // namespace

void tests::attentionMass(Suite& suite) {
  testRefusals(suite);
  for (const int type : {KVASIR_F16, KVASIR_F32}) {
    for (const int headDim : {64, 128, 32, 80, 96}) testWindow(suite, {type, 1, 2, headDim, {90}}, {}, 9);
    for (const int group : {1, 3, 7, 16}) testWindow(suite, {type, 2, group, 16, {75}}, {}, 5);
    for (const int window : {1, 30, 64, 200}) testWindow(suite, {type, 1, 2, 16, {170}}, {window}, 80);
    testWindow(suite, {type, 1, 1, 32, {1}}, {}, 1);
    testWindow(suite, {type, 1, 2, 32, {130}}, {}, 130);
    testWindow(suite, {type, 1, 2, 16, {1100}}, {}, 3);
    testAnywhere(suite, {type, 1, 2, 16, {300}}, {}, {0, 1, 64, 150, 151, 299});
    testAnywhere(suite, {type, 1, 2, 16, {300}}, {20}, {0, 64, 299});
    testAnywhere(suite, {type, 2, 1, 16, {300}}, {}, {10, 40});
    testWindow(suite, {type, 1, 2, 256, {40}}, {}, 6);
  }
  testWindow(suite, {KVASIR_F16, 1, 2, 64, {90}}, {0, 1}, 9);
  testWindow(suite, {KVASIR_F16, 1, 2, 40, {70}}, {25}, 9);
  testWindow(suite, {KVASIR_F16, 1, 2, 144, {70}}, {0, 1}, 4);
  testWindow(suite, {KVASIR_F32, 1, 2, 20, {70}}, {25}, 9);
}

}  // namespace kvasir::gpu::test
