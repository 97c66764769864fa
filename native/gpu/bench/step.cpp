// A decode step of a model of 8 B parameters as one graph: over the whole cache, over the rows that sentence-kv's choice takes,
// and over such rows of a cache in pinned host memory.
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include "bench.h"
#include "decoding.h"
#include "model.h"
#include "selection.h"

namespace kvasir::gpu::bench {

namespace {

// A list of the whole context for each KV head.
struct WholeLists {
  Memory rowStarts, runs;

  WholeLists(const Gpu& gpu, const ModelConfig& config, int tokens) {
    std::mt19937 random(1);
    const std::vector<KvasirKvRun> one = randomRuns(tokens, 0, tokens, random);
    std::vector<KvasirKvRun> all;
    std::vector<std::int32_t> starts = {0};
    for (int head = 0; head < config.heads.numKvHeads; ++head) {
      all.insert(all.end(), one.begin(), one.end());
      starts.push_back(static_cast<std::int32_t>(all.size()));
    }
    rowStarts = upload(gpu, starts);
    runs = upload(gpu, all);
  }
  KvasirRunRows rows() const { return {rowStarts.device<std::int32_t>(), runs.device<KvasirKvRun>(), 0}; }
};

void runContext(Bench& bench, const Model& model, const char* weights, int tokens, int budget, bool onHost) {
  const Gpu& gpu = bench.gpu;
  const ModelConfig& config = model.config();
  const std::string head = std::string(weights) + ", " + std::to_string(tokens) + " tokens, ";
  const std::size_t cacheBytes = Cache::bytesFor(config, tokens);
  if (bench.late("step", head + (onHost ? "rows on the host" : "rows on the device"))) return;
  if (!onHost && gpu.freeBytes() < cacheBytes + cacheBytes / 8 + (std::size_t{1} << 30)) {
    return bench.rows.notRun("step", head, "not enough device memory");
  }
  const Cache cache(gpu, config, tokens, onHost);
  const RowInputs row(gpu, config, {tokens - 1});
  const double keyBytes = static_cast<double>(PagePool::pageBytes(config.heads)) / KVASIR_PAGE_TOKENS * config.layers;
  SelectShape shape = SelectShape::ofDefaults(tokens, 1, budget);
  shape.layers = config.layers;
  const Selection selection(gpu, cache.kv, config.heads, shape);
  const DecodeAttention few(gpu, config.heads, 1, selection.longestList()), all(gpu, config.heads, 1, tokens);
  const WholeLists whole(gpu, config, tokens);

  const Model::Attend attendAll = [&](KvasirStream* stream, int layer, const float* q, float* out) {
    all.launch(stream, cache.kv, layer, selection.pageStarts(), selection.pages(), whole.rows(), q, out);
  };
  const Model::Attend attendChosen = [&](KvasirStream* stream, int layer, const float* q, float* out) {
    selection.launch(stream, layer, q);
    few.launch(stream, cache.kv, layer, selection.pageStarts(), selection.pages(), selection.rows(), q, out);
  };
  const Job step{[&](KvasirStream* stream, int) { model.forward(stream, row, cache, attendAll); },
                 model.weightBytes() + keyBytes * tokens, 1};
  const Job chosen{[&](KvasirStream* stream, int) { model.forward(stream, row, cache, attendChosen); },
                   model.weightBytes() + keyBytes * budget + selection.indexBytes() * config.layers, 1};
  const std::string name = head + "chosen " + std::to_string(budget) + (onHost ? ", rows on the host" : "");
  chosen.work(gpu.stream(), 0);
  if (!model.finite()) return bench.rows.wrong("step", name, "a logit is no number");
  const std::string problem = selection.problem();
  if (!problem.empty()) return bench.rows.wrong("step", name, problem);
  // The last layer's attention alone: queries that are known, over the rows that the choice takes.
  const Memory q = upload(gpu, randomFloats(static_cast<std::size_t>(config.heads.numHeads * config.heads.headDim)));
  const Memory out = Memory::onDevice(gpu, q.bytes());
  attendChosen(gpu.stream(), config.layers - 1, q.device<float>(), out.device<float>());
  const double error = selection.attentionError(config.layers - 1, q, out);
  if (!(error <= 2e-3)) return bench.rows.wrong("step", name, "attention is off by " + std::to_string(error));
  const Timing chosenTiming = measure(gpu, chosen, &bench.roofs.read(), bench.pace);
  bench.rows.timing("step", name, chosenTiming, "GB/s", "read");
  if (onHost) return;
  step.work(gpu.stream(), 0);
  if (!model.finite()) return bench.rows.wrong("step", head + "whole", "a logit is no number");
  const Timing wholeTiming = measure(gpu, step, &bench.roofs.read(), bench.pace);
  bench.rows.timing("step", head + "whole", wholeTiming, "GB/s", "read");
  bench.rows.value("step", head + "speed of chosen against whole", wholeTiming.micros.median / chosenTiming.micros.median, "times");

  // Attention alone, all layers in turn: what the choice saves and costs.
  const auto alone = [&](const Model::Attend& attend, double bytes) {
    return Job{[&config, &attend, &q, &out](KvasirStream* stream, int) {
                 for (int layer = 0; layer < config.layers; ++layer) attend(stream, layer, q.device<float>(), out.device<float>());
               },
               bytes, 1};
  };
  const Job wholeAlone = alone(attendAll, keyBytes * tokens);
  const Job chosenAlone = alone(attendChosen, keyBytes * budget + selection.indexBytes() * config.layers);
  const Timing a = measure(gpu, wholeAlone, &bench.roofs.read(), bench.pace), b = measure(gpu, chosenAlone, &bench.roofs.read(), bench.pace);
  bench.rows.timing("attention", head + "all layers, whole", a, "GB/s", "read");
  bench.rows.timing("attention", head + "all layers, choice of " + std::to_string(budget) + " and attention", b, "GB/s", "read");
  bench.rows.value("attention", head + "speed of choice and attention against whole", a.micros.median / b.micros.median, "times");
}

}  // namespace

void steps::step(Bench& bench) {
  const ModelConfig config = stepModel(bench.tiny);
  if (bench.tiny) {
    const Model model(bench.gpu, config, KVASIR_WEIGHT_F16, 1);
    for (const bool onHost : {false, true}) runContext(bench, model, "f16", 300, 64, onHost);
    return;
  }
  for (const int type : {KVASIR_WEIGHT_F16, KVASIR_WEIGHT_Q4_0}) {
    const std::string name = weightName(type);
    if (bench.gpu.freeBytes() < (std::size_t{type == KVASIR_WEIGHT_F16 ? 20u : 8u} << 30)) {
      bench.rows.notRun("step", name, "not enough device memory");
      continue;
    }
    const Model model(bench.gpu, config, type, 1);
    for (const int tokens : {32768, 131072}) {
      runContext(bench, model, name.c_str(), tokens, 1024, false);
      // 16 GiB of pinned memory take longer to get than all the rest.
      if (type == KVASIR_WEIGHT_F16 && tokens == 32768) runContext(bench, model, name.c_str(), tokens, 1024, true);
    }
  }
}

}  // namespace kvasir::gpu::bench
