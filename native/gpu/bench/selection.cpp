#include "selection.h"

#include <algorithm>
#include <cmath>

#include "bench.h"
#include "decoding.h"

namespace kvasir::gpu::bench {

Selection::Selection(const Gpu& gpu, const KvasirKvView& kv, const ModelShape& model, const SelectShape& shape)
    : gpu_(gpu), kv_(kv), model_(model), shape_(shape) {
  const int pages = (shape.tokens + KVASIR_PAGE_TOKENS - 1) / KVASIR_PAGE_TOKENS;
  pageTable_ = shuffledPages(pages * shape.sequences, pages * shape.sequences, 1, 3);
  pages_ = upload(gpu, pageTable_);
  std::vector<std::int32_t> pageStarts;
  for (int s = 0; s <= shape.sequences; ++s) pageStarts.push_back(s * pages);
  pageStarts_ = upload(gpu, pageStarts);
  std::vector<KvasirSelectSequence> sequences;
  for (int s = 0; s < shape.sequences; ++s) {
    const auto* own = pages_.device<std::int32_t>(static_cast<std::size_t>(s * pages) * sizeof(std::int32_t));
    indices_.emplace_back(gpu, model, shape.layers, shape.tokens, shape.segmentTokens, shape.codeBits, shape.vectorBits);
    const PrincipalIndex& index = indices_.back();
    index.encode(gpu.stream(), kv, own, 0, shape.layers);
    KvasirSelectSequence sequence{};
    kvasirSelectIndex(&sequence, index.device(), &index.layout());
    sequence.segmentOf = index.segmentOf();
    sequence.pages = own;
    sequence.numTokens = shape.tokens;
    sequence.indexedTokens = sequence.codedTokens = index.codedTokens();
    sequence.numSegments = index.segments();
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
  args.index = indices_[0].shape();
  args.sequences = sequences_.device<KvasirSelectSequence>();
  args.numSequences = shape_.sequences;
  args.maxTokens = shape_.tokens;
  args.maxSegments = args.index.segmentCapacity;
  args.budgetTokens = shape_.budget;
  args.sinkTokens = 4;
  args.recentTokens = 16;
  args.poolTokens = shape_.pool;
  args.jointHeads = shape_.joint ? 1 : 0;
  args.allCoded = 1;
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

int Selection::longestList() const {
  return std::min(shape_.tokens, shape_.joint ? shape_.budget * model_.numKvHeads : shape_.budget);
}

double Selection::indexBytes() const { return indices_[0].layerBytes() * shape_.sequences; }

double Selection::attentionError(int layer, const Memory& q, const Memory& out) const {
  const std::vector<std::int32_t> starts = download<std::int32_t>(gpu_, rowStarts_.device(), 2);
  std::vector<std::pair<int, int>> tokens;
  for (const KvasirKvRun& run : download<KvasirKvRun>(gpu_, runs_.device(), static_cast<std::size_t>(starts[1]))) {
    for (int i = 0; i < run.len; ++i) tokens.emplace_back(pageTable_[static_cast<std::size_t>(run.page)], run.first + i);
  }
  const std::size_t headDim = static_cast<std::size_t>(model_.headDim);
  return bench::attentionError(gpu_, kv_, layer, tokens, download<float>(gpu_, q.device(), headDim), download<float>(gpu_, out.device(), headDim));
}

std::string Selection::problem() const {
  const std::size_t lists = static_cast<std::size_t>(shape_.sequences * model_.numKvHeads);
  const std::vector<std::int32_t> starts = download<std::int32_t>(gpu_, rowStarts_.device(), lists + 1);
  if (starts[0] != 0 || starts[lists] < 0 || static_cast<std::size_t>(starts[lists]) > lists * static_cast<std::size_t>(shape_.budget)) {
    return "the lists' bounds are wrong";
  }
  const std::vector<KvasirKvRun> runs = download<KvasirKvRun>(gpu_, runs_.device(), static_cast<std::size_t>(starts[lists]));
  int ofSequence = 0;
  for (std::size_t list = 0; list < lists; ++list) {
    int tokens = 0, end = -1;
    for (std::int32_t r = starts[list]; r < starts[list + 1]; ++r) {
      const KvasirKvRun& run = runs[static_cast<std::size_t>(r)];
      const int first = run.page * KVASIR_PAGE_TOKENS + run.first;
      if (first < end || run.len < 1 || run.first + run.len > KVASIR_PAGE_TOKENS) return "a list does not ascend";
      end = first + run.len;
      tokens += run.len;
    }
    if (end != shape_.tokens || (!shape_.joint && tokens != std::min(shape_.budget, shape_.tokens))) {
      return "a list has " + std::to_string(tokens) + " tokens up to " + std::to_string(end);
    }
    ofSequence += tokens;
    if (list % static_cast<std::size_t>(model_.numKvHeads) != static_cast<std::size_t>(model_.numKvHeads - 1)) continue;
    if (ofSequence != model_.numKvHeads * std::min(shape_.budget, shape_.tokens)) return "a layer's lists have " + std::to_string(ofSequence) + " tokens";
    ofSequence = 0;
  }
  return "";
}

namespace {

void runCase(Bench& bench, const ModelShape& model, const SelectShape& shape) {
  const std::string name = model.text() + ", " + std::to_string(shape.tokens) + " tokens x " + std::to_string(shape.sequences) +
                           ", codes of " + std::to_string(shape.codeBits) +
                           (shape.joint ? ", sentence-kv" : ", pool " + std::to_string(shape.pool));
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
  // For 5k sentences and 8 heads.
  const Target latency{15, 8, true};
  const bool held = model.numKvHeads == 8 && shape.tokens == 131072 && shape.sequences == 1 && shape.pool == 0 && shape.codeBits == 2;
  bench.rows.timing("select", name, measure(gpu, job, &bench.roofs.read(), bench.pace), "GB/s", "read", held ? &latency : nullptr);
}

// A layer's decode attention as sentence-kv makes it: the choice among all rows, then attention over what it takes.
void chooseAndAttend(Bench& bench, const ModelShape& model, int tokens, int sequences, int budget) {
  const std::string name = model.text() + ", " + std::to_string(budget) + " of " + std::to_string(tokens) + " tokens x " + std::to_string(sequences);
  if (bench.late("choose and attend", name)) return;
  const Gpu& gpu = bench.gpu;
  const int pages = sequences * ((tokens + KVASIR_PAGE_TOKENS - 1) / KVASIR_PAGE_TOKENS);
  SelectShape shape = SelectShape::ofDefaults(tokens, sequences, budget);
  const double indexBytes = static_cast<double>(sequences) * tokens * model.numKvHeads * model.headDim * shape.codeBits / 8.0;
  const double rowBytes = 4.0 * sequences * budget * model.numKvHeads * model.headDim;
  // A layer a turn: its codes and its rows are no longer in the cache when their turn comes again.
  shape.layers = bench.tiny ? 2 : std::clamp(static_cast<int>(256e6 / (indexBytes + rowBytes)), 2, 16);
  const PagePool pool(gpu, model, pages * shape.layers);
  KvasirKvView kv = pool.view();
  kv.layerStride = PagePool::pageBytes(model);
  kv.pageStride = kv.layerStride * static_cast<std::size_t>(shape.layers);
  const Selection selection(gpu, kv, model, shape);
  const DecodeAttention attention(gpu, model, sequences, selection.longestList());
  const Memory q = upload(gpu, randomFloats(static_cast<std::size_t>(sequences * model.numHeads * model.headDim)));
  const Memory out = Memory::onDevice(gpu, q.bytes());
  const Job job{[&](KvasirStream* stream, int turn) {
                  selection.launch(stream, turn, q.device<float>());
                  attention.launch(stream, kv, turn, selection.pageStarts(), selection.pages(), selection.rows(), q.device<float>(),
                                   out.device<float>());
                },
                selection.indexBytes() + rowBytes, shape.layers};
  job.work(gpu.stream(), shape.layers - 1);
  const std::string problem = selection.problem();
  if (!problem.empty()) return bench.rows.wrong("choose and attend", name, problem);
  const double error = selection.attentionError(shape.layers - 1, q, out);
  if (!(error <= 2e-3)) return bench.rows.wrong("choose and attend", name, "off by " + std::to_string(error));
  bench.rows.timing("choose and attend", name, measure(gpu, job, &bench.roofs.read(), bench.pace), "GB/s", "read");
}

}  // namespace

void steps::select(Bench& bench) {
  const ModelShape large{32, 8, 128}, small{9, 3, 64};
  if (bench.tiny) {
    SelectShape shape;
    shape.tokens = 400;
    shape.budget = 64;
    runCase(bench, small, shape);
    runCase(bench, small, SelectShape::ofDefaults(400, 1, 64));
    return chooseAndAttend(bench, small, 400, 2, 64);
  }
  for (const int tokens : {8192, 32768, 131072}) {
    for (const int sequences : {1, 8}) {
      chooseAndAttend(bench, large, tokens, sequences, 1024);
      runCase(bench, large, SelectShape::ofDefaults(tokens, sequences, 1024));
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
