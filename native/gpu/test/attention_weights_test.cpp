// attentionWeights against float64 on the stored bits.
#include "attention_data.h"

namespace kvasir::gpu::test {
namespace {


std::vector<float> weightsOf(Case& c, const AttentionCache& cache, const std::vector<float>& q, float scale,
                             const std::vector<std::int32_t>& starts, const std::vector<std::int32_t>& indices, int maxRows) {
  const AttentionShape& s = cache.shape;
  const Buffer<std::uint8_t> bytes = c.upload(cache.bytes);
  const Buffer<float> queries = c.upload(q), out = c.poisoned<float>(indices.size() * static_cast<std::size_t>(s.group), true);
  const Buffer<std::int32_t> pages = c.upload(cache.pages), startsBuffer = c.upload(starts), indicesBuffer = c.upload(indices);
  KvasirAttentionWeightsArgs args{};
  args.kv = cache.view;
  args.kv.base = bytes.get();
  args.layer = kLayer;
  args.q = queries.get();
  args.numHeads = s.numHeads();
  args.scale = scale;
  args.pages = pages.get();
  args.starts = startsBuffer.get();
  args.indices = indicesBuffer.get();
  args.maxRows = maxRows;
  args.out = out.get();
  args.workspaceBytes = kvasirAttendTicketBytes(s.numKvHeads, s.group);
  const Buffer<std::uint32_t> workspace = c.upload(std::vector<std::uint32_t>(args.workspaceBytes / 4, 0));
  args.workspace = workspace.get();
  c.ok(c.gpu.attentionWeights(c.stream, &args), "attentionWeights");
  const std::vector<float> first = c.download(out);
  c.ok(c.gpu.attentionWeights(c.stream, &args), "attentionWeights");
  c.same(c.download(out), first, "a second call over the same workspace");
  c.same(c.download(workspace), std::vector<std::uint32_t>(args.workspaceBytes / 4, 0), "workspace");
  return first;
}

// Lists of `counts` rows a KV head, shuffled and, where `repeats`, with rows named twice.
void run(Case& c, const AttentionShape& s, const std::vector<int>& counts, bool repeats) {
  const AttentionCache cache(c.random, s);
  const std::vector<float> q = drawNormal(c.random, static_cast<std::size_t>(s.numHeads() * s.headDim), 2.0f);
  const float scale = 1.0f / std::sqrt(static_cast<float>(s.headDim));
  std::vector<std::int32_t> starts{0}, indices;
  std::vector<double> want;
  int maxRows = 0;
  for (int head = 0; head < s.numKvHeads; ++head) {
    const int count = counts[static_cast<std::size_t>(head) % counts.size()];
    maxRows = std::max(maxRows, count);
    std::vector<int> own = drawDistinct(c.random, count, s.tokens[0]);
    for (int i = 1; repeats && i < count; i += 3) own[static_cast<std::size_t>(i)] = own[0];
    indices.insert(indices.end(), own.begin(), own.end());
    starts.push_back(static_cast<std::int32_t>(indices.size()));
    for (int j = 0; j < s.group; ++j) {
      const std::vector<double> scores = cache.scores(0, head, &q[static_cast<std::size_t>((head * s.group + j) * s.headDim)], static_cast<double>(scale), own);
      double max = -std::numeric_limits<double>::infinity(), sum = 0.0;
      for (const double score : scores) max = std::max(max, score);
      for (const double score : scores) sum += std::exp(score - max);
      for (const double score : scores) want.push_back(std::exp(score - max) / sum);
    }
  }
  const std::vector<float> got = weightsOf(c, cache, q, scale, starts, indices, maxRows);
  c.close(got, want, kAttentionWeights, "weights");
  c.same(weightsOf(c, cache, q, scale, starts, indices, maxRows + 300), got, "a loose bound");
}

}  // namespace

void tests::attentionWeights(Suite& suite) {
  const int headDims[] = {64, 128, 32, 80, 96, 256, 48};
  for (int group = 1; group <= 16; ++group) {
    for (const int type : {KVASIR_F16, KVASIR_F32}) {
      const int i = 2 * group + type;
      const AttentionShape shape = {type, 1 + i % 3, group, headDims[i % 7], {150 + 10 * i}, i % 4 == 0 ? 32 : 0};
      const std::vector<int> counts = i % 5 == 0 ? std::vector<int>{0, 1, 130} : i % 5 == 1 ? std::vector<int>{128} : std::vector<int>{17 + 4 * i, 3};
      suite.run("attentionWeights", std::to_string(shape.numKvHeads) + "x" + std::to_string(group) + "x" + std::to_string(shape.headDim) +
                                        (type == KVASIR_F16 ? " f16, " : " f32, ") + std::to_string(counts[0]) + " rows",
                [&](Case& c) { run(c, shape, counts, i % 3 == 0); });
    }
  }
  for (const int count : {0, 1, 15, 16, 127, 129, 256, 600}) {
    suite.run("attentionWeights", std::to_string(count) + " rows", [&](Case& c) { run(c, {KVASIR_F16, 2, 4, 64, {700}}, {count}, false); });
  }
  suite.run("attentionWeights", "a list beyond the bound gets no answer", [](Case& c) {
    const AttentionCache cache(c.random, {KVASIR_F16, 2, 2, 64, {50}});
    const std::vector<float> q = drawNormal(c.random, 4 * 64);
    const std::vector<float> got = weightsOf(c, cache, q, 1.0f, {0, 6, 8}, {0, 1, 2, 3, 4, 5, 6, 7}, 4);
    for (std::size_t i = 0; i < got.size(); ++i) c.check(std::isnan(got[i]) == (i < 12), "weight " + std::to_string(i));
  });
  suite.run("attentionWeights", "refuses what it does not do", [](Case& c) {
    KvasirAttentionWeightsArgs good{};
    good.kv = viewOf({KVASIR_F16, 2, 4, 64, {16}});
    good.numHeads = 8;
    good.workspaceBytes = 64;
    const auto refused = [&](const char* what, void (*spoil)(KvasirAttentionWeightsArgs&)) {
      KvasirAttentionWeightsArgs args = good;
      spoil(args);
      c.check(c.gpu.attentionWeights(c.stream, &args) == KVASIR_GPU_INVALID, what);
    };
    refused("headDim 20", [](KvasirAttentionWeightsArgs& a) { a.kv.headDim = 20; });
    refused("a type unknown", [](KvasirAttentionWeightsArgs& a) { a.kv.type = 2; });
    refused("heads that do not divide", [](KvasirAttentionWeightsArgs& a) { a.numHeads = 7; });
    refused("fewer rows than none", [](KvasirAttentionWeightsArgs& a) { a.maxRows = -1; });
    refused("no workspace", [](KvasirAttentionWeightsArgs& a) { a.workspaceBytes = 0; });
    c.ok(c.gpu.attentionWeights(c.stream, &good), "no rows");
    c.synchronize();
  });
}

}  // namespace kvasir::gpu::test
