#include "selection.h"

#include <algorithm>
#include <cmath>

#include "bench.h"

namespace kvasir::gpu::bench {

namespace {

int padded(int count) { return (count + KVASIR_INDEX_LANES - 1) / KVASIR_INDEX_LANES * KVASIR_INDEX_LANES; }

}  // namespace

Selection::Selection(const Gpu& gpu, const KvasirKvView& kv, const ModelShape& model, const SelectShape& shape)
    : gpu_(gpu), kv_(kv), model_(model), shape_(shape) {
  const int coded = shape.tokens / shape.segmentTokens * shape.segmentTokens, segments = coded / shape.segmentTokens;
  indexShape_ = {model.headDim, shape.codeBits, 16, model.numKvHeads, padded(shape.tokens), padded(segments)};
  layout_ = kvasirIndexLayout(&indexShape_);
  const std::size_t layerBytes = layout_.bytes * static_cast<std::size_t>(model.numKvHeads);
  index_ = Memory::onDevice(gpu, layerBytes * static_cast<std::size_t>(shape.layers * shape.sequences));
  fillRandom(gpu, index_);
  std::vector<std::int32_t> segmentOf(static_cast<std::size_t>(coded));
  for (int t = 0; t < coded; ++t) segmentOf[static_cast<std::size_t>(t)] = t / shape.segmentTokens;
  segmentOf_ = upload(gpu, segmentOf);
  const int pages = (shape.tokens + KVASIR_PAGE_TOKENS - 1) / KVASIR_PAGE_TOKENS;
  pages_ = upload(gpu, shuffledPages(pages * shape.sequences, pages * shape.sequences, 1, 3));
  std::vector<std::int32_t> pageStarts;
  for (int s = 0; s <= shape.sequences; ++s) pageStarts.push_back(s * pages);
  pageStarts_ = upload(gpu, pageStarts);
  std::vector<KvasirSelectSequence> sequences;
  for (int s = 0; s < shape.sequences; ++s) {
    KvasirSelectSequence sequence{};
    sequence.index = index_.device(static_cast<std::size_t>(s * shape.layers) * layerBytes);
    sequence.segmentOf = segmentOf_.device<std::int32_t>();
    sequence.pages = pages_.device<std::int32_t>(static_cast<std::size_t>(s * pages) * sizeof(std::int32_t));
    sequence.numTokens = shape.tokens;
    sequence.indexedTokens = sequence.codedTokens = coded;
    sequence.numSegments = segments;
    sequences.push_back(sequence);
  }
  sequences_ = upload(gpu, sequences);
  const std::size_t lists = static_cast<std::size_t>(shape.sequences * model.numKvHeads);
  rowStarts_ = Memory::onDevice(gpu, (lists + 1) * sizeof(std::int32_t));
  runs_ = Memory::onDevice(gpu, lists * static_cast<std::size_t>(shape.budget) * sizeof(KvasirKvRun));
  KvasirSelectRunsArgs args = arguments(0, nullptr);
  workspace_ = Memory::onDevice(gpu, kvasirSelectRunsBytes(&args));
}

KvasirSelectRunsArgs Selection::arguments(int layer, const float* q) const {
  KvasirSelectRunsArgs args{};
  args.kv = kv_;
  args.layer = layer;
  args.numHeads = model_.numHeads;
  args.q = args.estimateQ = q;
  args.scale = 1.0f / std::sqrt(static_cast<float>(model_.headDim));
  args.index = indexShape_;
  args.sequences = sequences_.device<KvasirSelectSequence>();
  args.numSequences = shape_.sequences;
  args.maxTokens = shape_.tokens;
  args.maxSegments = indexShape_.segmentCapacity;
  args.budgetTokens = shape_.budget;
  args.sinkTokens = 4;
  args.recentTokens = 32;
  args.poolTokens = shape_.pool;
  args.rowStarts = rowStarts_.device<std::int32_t>();
  args.runs = runs_.device<KvasirKvRun>();
  args.maxRuns = shape_.sequences * model_.numKvHeads * shape_.budget;
  args.workspace = workspace_.device();
  return args;
}

void Selection::launch(KvasirStream* stream, int layer, const float* q) const {
  const KvasirSelectRunsArgs args = arguments(layer, q);
  gpu_.check(gpu_.table().selectRuns(stream, &args), "selectRuns");
}

double Selection::indexBytes() const {
  const double heads = static_cast<double>(shape_.sequences) * model_.numKvHeads;
  return heads * 16.0 * (static_cast<double>(layout_.codeVectors) * shape_.tokens +
                         static_cast<double>(layout_.meanVectors) * (shape_.tokens / shape_.segmentTokens));
}

std::string Selection::problem() const {
  const std::size_t lists = static_cast<std::size_t>(shape_.sequences * model_.numKvHeads);
  const std::vector<std::int32_t> starts = download<std::int32_t>(gpu_, rowStarts_.device(), lists + 1);
  if (starts[0] != 0 || starts[lists] < 0 || static_cast<std::size_t>(starts[lists]) > lists * static_cast<std::size_t>(shape_.budget)) {
    return "the lists' bounds are wrong";
  }
  const std::vector<KvasirKvRun> runs = download<KvasirKvRun>(gpu_, runs_.device(), static_cast<std::size_t>(starts[lists]));
  for (std::size_t list = 0; list < lists; ++list) {
    int tokens = 0, end = -1;
    for (std::int32_t r = starts[list]; r < starts[list + 1]; ++r) {
      const KvasirKvRun& run = runs[static_cast<std::size_t>(r)];
      const int first = run.page * KVASIR_PAGE_TOKENS + run.first;
      if (first < end || run.len < 1 || run.first + run.len > KVASIR_PAGE_TOKENS) return "a list does not ascend";
      end = first + run.len;
      tokens += run.len;
    }
    if (end != shape_.tokens || tokens != std::min(shape_.budget, shape_.tokens)) {
      return "a list has " + std::to_string(tokens) + " tokens up to " + std::to_string(end);
    }
  }
  return "";
}

namespace {

void runCase(Bench& bench, const ModelShape& model, const SelectShape& shape) {
  const std::string name = model.text() + ", " + std::to_string(shape.tokens) + " tokens x " + std::to_string(shape.sequences) +
                           ", codes of " + std::to_string(shape.codeBits) + ", pool " + std::to_string(shape.pool);
  if (bench.late("select", name)) return;
  const Gpu& gpu = bench.gpu;
  SelectShape rotated = shape;
  const PagePool pool(gpu, model, shape.sequences * ((shape.tokens + KVASIR_PAGE_TOKENS - 1) / KVASIR_PAGE_TOKENS));
  // The keys are one layer's; the indices of the turns are not.
  KvasirKvView kv = pool.view();
  kv.layerStride = 0;
  const double tokenBytes = static_cast<double>(shape.sequences) * model.numKvHeads * model.headDim * shape.codeBits / 8.0;
  rotated.layers = bench.tiny ? 2 : std::clamp(static_cast<int>(256e6 / (tokenBytes * shape.tokens)), 1, 64);
  const Selection selection(gpu, kv, model, rotated);
  const Memory q = upload(gpu, randomFloats(static_cast<std::size_t>(shape.sequences * model.numHeads * model.headDim)));
  const Job job{[&](KvasirStream* stream, int turn) { selection.launch(stream, turn, q.device<float>()); }, selection.indexBytes(),
                rotated.layers};
  job.work(gpu.stream(), 0);
  const std::string problem = selection.problem();
  if (!problem.empty()) return bench.rows.wrong("select", name, problem);
  // Of kernels.md for 5k sentences and 8 heads.
  const Target latency{15, 8, true};
  const bool held = shape.tokens == 131072 && shape.sequences == 1 && shape.pool == 0 && shape.codeBits == 2;
  bench.rows.timing("select", name, measure(gpu, job, &bench.roofs.read(), bench.pace), "GB/s", "read", held ? &latency : nullptr);
}

}  // namespace

void steps::select(Bench& bench) {
  const ModelShape large{32, 8, 128}, small{9, 3, 64};
  if (bench.tiny) {
    SelectShape shape;
    shape.tokens = 400;
    shape.budget = 64;
    return runCase(bench, small, shape);
  }
  for (const int tokens : {8192, 32768, 131072}) {
    for (const int sequences : {1, 8}) {
      for (const int pool : {0, 2048}) {
        SelectShape shape;
        shape.tokens = tokens;
        shape.sequences = sequences;
        shape.pool = pool;
        runCase(bench, large, shape);
      }
    }
    for (const int bits : {1, 4}) {
      SelectShape shape;
      shape.tokens = tokens;
      shape.codeBits = bits;
      runCase(bench, large, shape);
    }
    SelectShape shape;
    shape.tokens = tokens;
    runCase(bench, small, shape);
  }
}

}  // namespace kvasir::gpu::bench
