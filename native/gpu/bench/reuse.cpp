// Time to the first token of a prompt whose rows are another's: adopt them, turn their keys, compute a share of them anew;
// against computing all of them.
#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>
#include <string>

#include "bench.h"
#include "lending.h"
#include "model.h"

namespace kvasir::gpu::bench {

namespace {

// Rows of a prompt, in chunks that the model takes one after the other.
class Prompt {
 public:
  Prompt(const Gpu& gpu, const Model& model, const Cache& cache, std::vector<std::int32_t> positions, int chunkRows)
      : gpu_(gpu), model_(model), cache_(cache) {
    const ModelConfig& config = model.config();
    const int tokens = cache.numTokens, pages = (tokens + KVASIR_PAGE_TOKENS - 1) / KVASIR_PAGE_TOKENS;
    std::vector<std::int32_t> pageIds(static_cast<std::size_t>(pages));
    std::iota(pageIds.begin(), pageIds.end(), 0);
    pages_ = upload(gpu, pageIds);
    pageStarts_ = upload(gpu, std::vector<std::int32_t>{0, pages});
    std::size_t workspaceBytes = 16;
    for (std::size_t first = 0; first < positions.size(); first += static_cast<std::size_t>(chunkRows)) {
      const std::size_t end = std::min(positions.size(), first + static_cast<std::size_t>(chunkRows));
      const std::vector<std::int32_t> rows(positions.begin() + static_cast<std::ptrdiff_t>(first),
                                           positions.begin() + static_cast<std::ptrdiff_t>(end));
      Chunk chunk{RowInputs(gpu, config, rows), upload(gpu, std::vector<std::int32_t>{0, static_cast<std::int32_t>(rows.size())}),
                  upload(gpu, std::vector<std::int32_t>{rows.back() + 1}), rows.back() + 1, 0};
      chunk.workspaceBytes = kvasirAttendPrefillWorkspaceBytes(chunk.rows.count, 1, config.heads.numHeads, config.heads.numKvHeads,
                                                               config.heads.headDim, chunk.contextTokens);
      workspaceBytes = std::max(workspaceBytes, chunk.workspaceBytes);
      chunks_.push_back(std::move(chunk));
    }
    workspace_ = Memory::onDevice(gpu, workspaceBytes);
    gpu.check(gpu.table().fill(gpu.stream(), workspace_.device(), 0, workspaceBytes), "fill");
    gpu.synchronize();
  }

  // underWay(layer): the first chunk has written its rows of the layer.
  void compute(KvasirStream* stream, const std::function<void(int)>& underWay = [](int) {}) const {
    const ModelConfig& config = model_.config();
    for (const Chunk& chunk : chunks_) {
      model_.forward(stream, chunk.rows, cache_, [&](KvasirStream* on, int layer, const float* q, float* out) {
        if (&chunk == &chunks_.front()) underWay(layer);
        KvasirAttendPrefillArgs args{};
        args.kv = cache_.kv;
        args.layer = layer;
        args.q = q;
        args.numHeads = config.heads.numHeads;
        args.scale = 1.0f / std::sqrt(static_cast<float>(config.heads.headDim));
        args.batch = {1,
                      chunk.rows.count,
                      chunk.starts.device<std::int32_t>(),
                      chunk.context.device<std::int32_t>(),
                      pageStarts_.device<std::int32_t>(),
                      pages_.device<std::int32_t>(),
                      chunk.rows.slots.device<std::int32_t>()};  // slots are positions
        args.maxTokens = chunk.contextTokens;
        args.out = out;
        args.workspace = chunk.workspaceBytes > 0 ? workspace_.device() : nullptr;
        args.workspaceBytes = chunk.workspaceBytes;
        gpu_.check(gpu_.table().attendPrefill(on, &args), "attendPrefill");
      });
    }
  }

 private:
  struct Chunk {
    RowInputs rows;
    Memory starts, context;
    int contextTokens;
    std::size_t workspaceBytes;
  };

  const Gpu& gpu_;
  const Model& model_;
  const Cache& cache_;
  std::vector<Chunk> chunks_;
  Memory pages_, pageStarts_, workspace_;
};

// All rows of another cache into this one, all layers, keys turned by one angle a pair.
class Adoption {
 public:
  Adoption(const Gpu& gpu, const ModelConfig& config, const Cache& from, const Cache& to) : gpu_(gpu), config_(config), from_(from), to_(to) {
    std::vector<std::int32_t> slots(static_cast<std::size_t>(to.numTokens));
    std::iota(slots.begin(), slots.end(), 0);
    slots_ = upload(gpu, slots);
    turns_ = upload(gpu, std::vector<std::int32_t>(slots.size(), 0));
    const RowInputs angles(gpu, config, {37});
    const std::size_t half = static_cast<std::size_t>(config.heads.headDim / 2);
    cos_ = upload(gpu, download<float>(gpu, angles.cos.device(), half));
    sin_ = upload(gpu, download<float>(gpu, angles.sin.device(), half));
  }

  void launch(KvasirStream* stream) const {
    for (int layer = 0; layer < config_.layers; ++layer) {
      KvasirTurnRowsArgs args{};
      args.from = {from_.kv, layer, slots_.device<std::int32_t>()};
      args.to = {to_.kv, layer, slots_.device<std::int32_t>()};
      args.rows = to_.numTokens;
      args.cos = cos_.device<float>();
      args.sin = sin_.device<float>();
      args.rowTurns = turns_.device<std::int32_t>();
      args.pairing = KVASIR_PAIRS_HALF;
      args.rotaryDim = config_.heads.headDim;
      gpu_.check(gpu_.table().turnRows(stream, &args), "turnRows");
    }
  }

 private:
  const Gpu& gpu_;
  const ModelConfig& config_;
  const Cache& from_;
  const Cache& to_;
  Memory slots_, turns_, cos_, sin_;
};

// The donor's rows lie in host memory: the copy of each layer before its rows are computed, and beside the layer before.
void runLent(Bench& bench, const Model& model, const Cache& own, const Prompt& part, const std::string& shape, const Pace& pace) {
  const Gpu& gpu = bench.gpu;
  ModelConfig layer = model.config();
  layer.layers = 1;
  const Cache donor(gpu, layer, own.numTokens, true);
  const Lending lending(gpu, model.config(), donor, own);
  const auto job = [&](bool beside) {
    const auto work = [&, beside](KvasirStream* stream, int) {
      lending.begin(stream, beside);
      part.compute(stream, [&](int of) { lending.next(stream, of, beside); });
    };
    return Job{work, 1, 1, false};
  };
  double micros[2];
  for (const bool beside : {false, true}) {
    const Job lent = job(beside);
    lent.work(gpu.stream(), 0);
    if (!model.finite()) return bench.rows.wrong("reuse", shape, "a logit is no number");
    micros[beside ? 1 : 0] = measure(gpu, lent, nullptr, pace).micros.median;
  }
  bench.rows.value("reuse", shape + " from host memory, copies before layers", micros[0] / 1000.0, "ms");
  bench.rows.value("reuse", shape + " from host memory, copies beside layers", micros[1] / 1000.0, "ms");
  bench.rows.value("reuse", shape + " copies beside against before", micros[0] / micros[1], "times");
}

std::vector<std::int32_t> someRows(int tokens, int percent) {
  std::vector<std::int32_t> rows(static_cast<std::size_t>(tokens));
  std::iota(rows.begin(), rows.end(), 0);
  std::mt19937 random(23);
  std::shuffle(rows.begin(), rows.end() - 1, random);
  // The last row is always computed: its logits are what is wanted.
  const std::size_t count = static_cast<std::size_t>(std::max(1, tokens * percent / 100));
  std::vector<std::int32_t> chosen(rows.end() - static_cast<std::ptrdiff_t>(count), rows.end());
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

void runLength(Bench& bench, const Model& model, int tokens, int chunkRows) {
  const Gpu& gpu = bench.gpu;
  const ModelConfig& config = model.config();
  const int layers = stepModel(bench.tiny).layers;
  const std::string some = std::to_string(config.layers) + " of " + std::to_string(layers) + " layers, ";
  const std::string head = std::to_string(tokens) + " tokens, " + (config.layers < layers ? some : "");
  if (bench.late("reuse", head)) return;
  if (gpu.freeBytes() < 2 * Cache::bytesFor(config, tokens) + (std::size_t{1} << 30)) {
    return bench.rows.notRun("reuse", head, "not enough device memory");
  }
  const Cache donor(gpu, config, tokens, false), own(gpu, config, tokens, false);
  const Prompt whole(gpu, model, own, someRows(tokens, 100), chunkRows);
  // A second or so each: no more calls a slice than one.
  Pace pace = bench.pace;
  pace.maxCalls = 1;
  const Job full{[&](KvasirStream* stream, int) { whole.compute(stream); }, 1, 1};
  full.work(gpu.stream(), 0);
  if (!model.finite()) return bench.rows.wrong("reuse", head + "whole", "a logit is no number");
  // As many slices as the time left allows, an odd number.
  const double seconds = measure(gpu, full, nullptr, {1, 1, 1}).micros.median / 1e6;
  pace.slices = bench.tiny ? 1 : std::clamp(static_cast<int>(6.0 / seconds), 3, bench.pace.slices) | 1;
  const double fullMicros = measure(gpu, full, nullptr, pace).micros.median;
  bench.rows.value("reuse", head + "all rows computed, " + std::to_string(pace.slices) + " slices", fullMicros / 1000.0, "ms");
  const Adoption adoption(gpu, config, donor, own);
  for (const int percent : {5, 15, 50}) {
    const std::string shape = head + std::to_string(percent) + " % of rows";
    if (bench.late("reuse", shape)) return;
    const Prompt part(gpu, model, own, someRows(tokens, percent), chunkRows);
    const Job reused{[&](KvasirStream* stream, int) {
                       adoption.launch(stream);
                       part.compute(stream);
                     },
                     1, 1};
    reused.work(gpu.stream(), 0);
    if (!model.finite()) {
      bench.rows.wrong("reuse", shape, "a logit is no number");
      continue;
    }
    const double micros = measure(gpu, reused, nullptr, pace).micros.median;
    bench.rows.value("reuse", shape, micros / 1000.0, "ms");
    bench.rows.value("reuse", shape + " against all", fullMicros / micros, "times");
    if (percent == 15) runLent(bench, model, own, part, shape, pace);
  }
  const Job adopted{[&](KvasirStream* stream, int) { adoption.launch(stream); }, 2.0 * static_cast<double>(Cache::bytesFor(config, tokens)), 1};
  bench.rows.timing("reuse", head + "adopt and turn alone", measure(gpu, adopted, &bench.roofs.copy(), bench.pace), "GB/s", "copy");
}

}  // namespace

void steps::reuse(Bench& bench) {
  ModelConfig config = stepModel(bench.tiny);
  if (!bench.tiny && bench.gpu.freeBytes() < std::size_t{24} << 30) return bench.rows.notRun("reuse", "8 B", "not enough device memory");
  const int chunkRows = bench.tiny ? 32 : 4096;
  {
    const Model model(bench.gpu, config, KVASIR_WEIGHT_F16, chunkRows);
    for (const int tokens : bench.tiny ? std::vector<int>{48} : std::vector<int>{8192, 32768}) runLength(bench, model, tokens, chunkRows);
  }
  // All rows of all layers take half a minute a time. Layers are alike, so that a few have the same ratios.
  config.layers = bench.tiny ? 1 : 2;
  const Model few(bench.gpu, config, KVASIR_WEIGHT_F16, chunkRows);
  runLength(bench, few, bench.tiny ? 64 : 131072, chunkRows);
}

}  // namespace kvasir::gpu::bench
