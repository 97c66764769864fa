// attendPrefill: whole prompts, and a share of their rows; attentionMass over the last rows.
#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <string>

#include "bench.h"
#include "pages.h"

namespace kvasir::gpu::bench {

namespace {

// A prompt in a pool of pages, whose rows at `positions` are computed.
class Prefill {
 public:
  Prefill(const Gpu& gpu, const PagePool& pool, const ModelShape& model, int contextTokens, const std::vector<std::int32_t>& positions,
          unsigned seed = 1)
      : gpu_(gpu), pool_(pool), model_(model), contextTokens_(contextTokens), numRows_(static_cast<int>(positions.size())),
        pages_((contextTokens + KVASIR_PAGE_TOKENS - 1) / KVASIR_PAGE_TOKENS),
        pageTable_(shuffledPages(pages_, pool.numPages(), 1, seed)), positions_(positions),
        starts_(upload(gpu, std::vector<std::int32_t>{0, numRows_})), context_(upload(gpu, std::vector<std::int32_t>{contextTokens})),
        pageStarts_(upload(gpu, std::vector<std::int32_t>{0, pages_})), pageIds_(upload(gpu, pageTable_)),
        positionIds_(upload(gpu, positions)) {
    const std::size_t values = positions.size() * static_cast<std::size_t>(model.numHeads * model.headDim);
    q_ = upload(gpu, randomFloats(values));
    out_ = Memory::onDevice(gpu, values * sizeof(float));
    lse_ = Memory::onDevice(gpu, positions.size() * static_cast<std::size_t>(model.numHeads) * sizeof(float));
    const std::size_t massWorkspace = kvasirAttentionMassWorkspaceBytes(numRows_, model.numHeads, model.numKvHeads, model.headDim, contextTokens);
    const std::size_t own =
        kvasirAttendPrefillWorkspaceBytes(numRows_, 1, model.numHeads, model.numKvHeads, model.headDim, contextTokens);
    workspaceBytes_ = own;
    massWorkspaceBytes_ = massWorkspace;
    workspace_ = Memory::onDevice(gpu, std::max(own, massWorkspace));
    mass_ = Memory::onDevice(gpu, static_cast<std::size_t>(model.numHeads) * static_cast<std::size_t>(contextTokens) * sizeof(float));
    gpu.check(gpu.table().fill(gpu.stream(), workspace_.device(), 0, workspace_.bytes()), "fill");
    gpu.check(gpu.table().fill(gpu.stream(), mass_.device(), 0, mass_.bytes()), "fill");
    gpu.check(gpu.table().fill(gpu.stream(), out_.device(), 0xFF, out_.bytes()), "fill");
    gpu.synchronize();
  }

  void attend(KvasirStream* stream) const {
    KvasirAttendPrefillArgs args{};
    args.kv = pool_.view();
    args.q = q_.device<float>();
    args.numHeads = model_.numHeads;
    args.scale = scale();
    args.batch = batch();
    args.maxTokens = contextTokens_;
    args.out = out_.device<float>();
    args.lse = lse_.device<float>();
    args.workspace = workspaceBytes_ > 0 ? workspace_.device() : nullptr;
    args.workspaceBytes = workspaceBytes_;
    gpu_.check(gpu_.table().attendPrefill(stream, &args), "attendPrefill");
  }

  void mass(KvasirStream* stream) const {
    KvasirAttentionMassArgs args{};
    args.kv = pool_.view();
    args.q = q_.device<float>();
    args.numHeads = model_.numHeads;
    args.scale = scale();
    args.batch = batch();
    args.maxTokens = contextTokens_;
    args.lse = lse_.device<float>();
    args.mass = mass_.device<float>();
    args.massStride = static_cast<std::size_t>(contextTokens_);
    args.workspace = workspace_.device();
    args.workspaceBytes = massWorkspaceBytes_;
    gpu_.check(gpu_.table().attentionMass(stream, &args), "attentionMass");
  }

  // 4 d a head for each key that a row sees.
  double flop() const {
    double keys = 0;
    for (const std::int32_t position : positions_) keys += position + 1.0;
    return 4.0 * model_.headDim * model_.numHeads * keys;
  }

  // Query head 0 of row `row` against double precision: the length of what is off / of the answer.
  double error(int row) const {
    attend(gpu_.stream());
    const std::size_t headDim = static_cast<std::size_t>(model_.headDim), stride = headDim * static_cast<std::size_t>(model_.numHeads);
    const std::size_t at = static_cast<std::size_t>(row) * stride * sizeof(float);
    std::vector<std::pair<int, int>> tokens;
    for (int t = 0; t <= positions_[static_cast<std::size_t>(row)]; ++t) {
      tokens.emplace_back(pageTable_[static_cast<std::size_t>(t / KVASIR_PAGE_TOKENS)], t % KVASIR_PAGE_TOKENS);
    }
    return attentionError(gpu_, pool_.view(), 0, tokens, download<float>(gpu_, q_.device(at), headDim),
                          download<float>(gpu_, out_.device(at), headDim));
  }

  // Each head's masses add up to the number of rows: the largest share that one of them is off.
  double massError() const {
    attend(gpu_.stream());
    gpu_.check(gpu_.table().fill(gpu_.stream(), mass_.device(), 0, mass_.bytes()), "fill");
    mass(gpu_.stream());
    const std::size_t tokens = static_cast<std::size_t>(contextTokens_);
    const std::vector<float> masses = download<float>(gpu_, mass_.device(), mass_.bytes() / sizeof(float));
    double most = 0;
    for (std::size_t first = 0; first < masses.size(); first += tokens) {
      const double sum = std::accumulate(masses.begin() + static_cast<std::ptrdiff_t>(first),
                                         masses.begin() + static_cast<std::ptrdiff_t>(first + tokens), 0.0);
      most = std::max(most, std::isfinite(sum) ? std::fabs(sum / numRows_ - 1.0) : 1.0);
    }
    return most;
  }

 private:
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(model_.headDim)); }
  KvasirBatch batch() const {
    return {1, numRows_, starts_.device<std::int32_t>(), context_.device<std::int32_t>(), pageStarts_.device<std::int32_t>(),
            pageIds_.device<std::int32_t>(), positionIds_.device<std::int32_t>()};
  }

  const Gpu& gpu_;
  const PagePool& pool_;
  ModelShape model_;
  int contextTokens_, numRows_, pages_;
  std::vector<std::int32_t> pageTable_, positions_;
  Memory starts_, context_, pageStarts_, pageIds_, positionIds_, q_, out_, lse_, workspace_, mass_;
  std::size_t workspaceBytes_ = 0, massWorkspaceBytes_ = 0;
};

std::vector<std::int32_t> lastRows(int contextTokens, int rows) {
  std::vector<std::int32_t> positions(static_cast<std::size_t>(rows));
  std::iota(positions.begin(), positions.end(), contextTokens - rows);
  return positions;
}

std::vector<std::int32_t> shareOfRows(int contextTokens, int percent) {
  std::mt19937 random(19);
  std::vector<std::int32_t> all = lastRows(contextTokens, contextTokens);
  std::shuffle(all.begin(), all.end(), random);
  all.resize(static_cast<std::size_t>(std::max(1, contextTokens * percent / 100)));
  std::sort(all.begin(), all.end());
  return all;
}

void runDense(Bench& bench, const PagePool& pool, const ModelShape& model, int tokens) {
  const std::string head = model.text() + ", " + std::to_string(tokens) + " tokens";
  if (bench.late("prefill", head)) return;
  const Prefill dense(bench.gpu, pool, model, tokens, lastRows(tokens, tokens));
  const double error = dense.error(tokens <= 8192 ? tokens - 1 : 1000);
  if (!(error <= 4e-3)) return bench.rows.wrong("prefill", head, "off by " + std::to_string(error));
  const Job whole{[&](KvasirStream* stream, int) { dense.attend(stream); }, dense.flop(), 1};
  // 0.80 and 0.95 of FlashAttention-2, which reaches about 35 % of an H100's peak (arXiv 2407.08608), that is 0.56 of what
  // mma.sync reaches of it.
  const Target ofPeak{0.45, 0.53};
  bench.rows.timing("prefill", head, measure(bench.gpu, whole, &bench.roofs.multiply(), bench.pace), "TFLOP/s", "multiply",
                    model.headDim == 128 && tokens >= 8192 ? &ofPeak : nullptr);
  for (const int percent : {5, 15, 50}) {
    const std::string shape = head + ", " + std::to_string(percent) + " % of rows";
    if (bench.late("prefill", shape)) return;
    const Prefill part(bench.gpu, pool, model, tokens, shareOfRows(tokens, percent));
    const double off = part.error(0);
    if (!(off <= 4e-3)) {
      bench.rows.wrong("prefill", shape, "off by " + std::to_string(off));
      continue;
    }
    const Job job{[&](KvasirStream* stream, int) { part.attend(stream); }, part.flop(), 1};
    const Target ofDense{0.75, 0.90};
    bench.rows.timing("prefill", shape, measure(bench.gpu, job, &whole, bench.pace), "TFLOP/s", "own dense",
                      percent == 15 && tokens >= 8192 ? &ofDense : nullptr);
  }
}

void runMass(Bench& bench, const PagePool& pool, const ModelShape& model, int tokens) {
  const int rows = std::min(32, tokens);
  const std::string shape = model.text() + ", " + std::to_string(tokens) + " tokens, " + std::to_string(rows) + " rows";
  if (bench.late("mass", shape)) return;
  const double bytes = static_cast<double>(tokens) * model.numKvHeads * model.headDim * 2.0;
  std::vector<std::unique_ptr<Prefill>> turns;
  for (unsigned turn = 0; turn < (bench.tiny ? 1u : static_cast<unsigned>(std::clamp(512e6 / bytes, 1.0, 8.0))); ++turn) {
    turns.push_back(std::make_unique<Prefill>(bench.gpu, pool, model, tokens, lastRows(tokens, rows), turn));
    const double error = turns.back()->massError();
    if (!(error <= 4e-3)) return bench.rows.wrong("mass", shape, "sums are off by " + std::to_string(error));
  }
  const Job job{[&](KvasirStream* stream, int turn) { turns[static_cast<std::size_t>(turn)]->mass(stream); }, bytes,
                static_cast<int>(turns.size())};
  const Target target{0.5, 0.7};
  bench.rows.timing("mass", shape, measure(bench.gpu, job, &bench.roofs.copy(), bench.pace), "GB/s", "copy",
                    tokens >= 32768 && model.headDim == 128 ? &target : nullptr);
}

}  // namespace

void steps::prefill(Bench& bench) {
  const std::vector<int> lengths = bench.tiny ? std::vector<int>{64} : std::vector<int>{2048, 8192, 32768};
  for (const ModelShape& model : {ModelShape{32, 8, 128}, ModelShape{9, 3, 64}}) {
    const PagePool pool(bench.gpu, model, lengths.back() / KVASIR_PAGE_TOKENS);
    for (const int tokens : lengths) runDense(bench, pool, model, tokens);
  }
}

void steps::mass(Bench& bench) {
  const std::vector<int> lengths = bench.tiny ? std::vector<int>{64} : std::vector<int>{8192, 32768, 131072};
  for (const ModelShape& model : {ModelShape{32, 8, 128}, ModelShape{9, 3, 64}}) {
    const PagePool pool(bench.gpu, model, (bench.tiny ? 1 : 4) * lengths.back() / KVASIR_PAGE_TOKENS);
    for (const int tokens : lengths) runMass(bench, pool, model, tokens);
  }
}

}  // namespace kvasir::gpu::bench
