// attendRuns: decode attention over ragged lists, by the length of the list, of its runs, and the sequences at once.
#include <algorithm>
#include <cmath>
#include <string>

#include "bench.h"
#include "lists.h"

namespace kvasir::gpu::bench {

namespace {

struct Case {
  int tokens, sequences, runTokens;  // runTokens 0: the whole context, its pages neighbours
};

constexpr double kManyBytes = 32e6;  // from which on bytes, not latency, set the pace

const Target* targetOf(const ModelShape& model, const Case& c, double bytes) {
  static const Target latency{12, 8, true}, long_{0.75, 0.88}, eight{0.65, 0.80}, single{0.45, 0.60};
  if (c.tokens == 1024 && c.sequences == 1) return &latency;
  if (bytes < kManyBytes) return nullptr;
  if (c.runTokens == 0 || c.runTokens >= KVASIR_PAGE_TOKENS) return &long_;
  if (c.runTokens == 8) return &eight;
  return model.headDim == 128 ? &single : nullptr;
}

void runCase(Bench& bench, const PagePool& pool, const ModelShape& model, const Case& c) {
  const std::string shape = model.text() + ", " + std::to_string(c.tokens) + " tokens x " + std::to_string(c.sequences) +
                            (c.runTokens == 0 ? ", whole" : ", runs of " + std::to_string(c.runTokens));
  if (bench.late("decode", shape)) return;
  const Gpu& gpu = bench.gpu;
  const double bytes = static_cast<double>(c.sequences) * model.numKvHeads * c.tokens * 2.0 * model.headDim * 2.0;
  ListShape lists;
  lists.sequences = c.sequences;
  lists.tokens = c.tokens;
  lists.runTokens = c.runTokens;
  lists.contextTokens = c.runTokens == 0 ? c.tokens : 2 * c.tokens;
  lists.turns = bench.tiny ? 2 : std::clamp(static_cast<int>(512e6 / bytes), 1, 64);
  const Attention attention(gpu, pool, model, lists);
  const Job job{[&](KvasirStream* stream, int turn) { attention.launch(stream, turn); }, bytes, lists.turns};
  if (c.sequences <= 2 && c.tokens <= 1024) {
    const double error = attention.error();
    if (!(error <= 2e-3)) return bench.rows.wrong("decode", shape, "off by " + std::to_string(error));
  }
  bench.rows.timing("decode", shape, measure(gpu, job, &bench.roofs.copy(), bench.pace), "GB/s", "copy", targetOf(model, c, bytes));
}

}  // namespace

void steps::decode(Bench& bench) {
  const std::vector<int> tokens = bench.tiny ? std::vector<int>{32} : std::vector<int>{256, 1024, 4096, 32768};
  const std::vector<int> sequences = bench.tiny ? std::vector<int>{2} : std::vector<int>{1, 8, 64};
  for (const ModelShape& model : {ModelShape{32, 8, 128}, ModelShape{9, 3, 64}}) {
    const std::vector<int> runs = model.headDim == 128 && !bench.tiny ? std::vector<int>{0, 64, 16, 8, 1} : std::vector<int>{0, 16};
    // Far more than the cache holds, at most a quarter of what is free.
    const std::size_t poolBytes = bench.tiny ? 1 << 20 : std::min<std::size_t>(std::size_t{8} << 30, bench.gpu.freeBytes() / 4);
    const PagePool pool(bench.gpu, model, static_cast<int>(poolBytes / PagePool::pageBytes(model)));
    for (const int count : tokens) {
      for (const int number : sequences) {
        for (const int run : runs) runCase(bench, pool, model, {count, number, run});
      }
    }
  }
}

}  // namespace kvasir::gpu::bench
