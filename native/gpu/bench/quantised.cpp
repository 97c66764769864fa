// KV in eight bits: quantiseKv against a copy, and attention over it against attention over the same rows in float16.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "bench.h"
#include "lists.h"

namespace kvasir::gpu::bench {

namespace {

struct I8Pages {
  Memory memory, ids, notFinite;
  KvasirI8View view{};

  I8Pages(const Gpu& gpu, const ModelShape& model, int pages) {
    const std::size_t tile = kvasirI8TileBytes(model.headDim), page = tile * static_cast<std::size_t>(model.numKvHeads);
    memory = Memory::onDevice(gpu, page * static_cast<std::size_t>(pages));
    view = {memory.device(), page, page, tile, model.numKvHeads, model.headDim};
    std::vector<std::int32_t> all(static_cast<std::size_t>(pages));
    std::iota(all.begin(), all.end(), 0);
    ids = upload(gpu, all);
    notFinite = upload(gpu, std::vector<std::uint32_t>{0});
  }
};

void runShape(Bench& bench, const ModelShape& model) {
  const Gpu& gpu = bench.gpu;
  const int pages = bench.tiny ? 16 : static_cast<int>(std::min<std::size_t>(std::size_t{4} << 30, gpu.freeBytes() / 8) / PagePool::pageBytes(model));
  const PagePool pool(gpu, model, pages);
  const I8Pages quantised(gpu, model, pages);
  const KvasirQuantiseKvArgs all{pool.view(),          quantised.view, 0, 1, quantised.ids.device<std::int32_t>(), quantised.ids.device<std::int32_t>(),
                                 pages, quantised.notFinite.device<std::uint32_t>()};
  const double moved = static_cast<double>(pages) * static_cast<double>(PagePool::pageBytes(model) + quantised.view.pageStride);
  const Job quantise{[&](KvasirStream* stream, int) { gpu.check(gpu.table().quantiseKv(stream, &all), "quantiseKv"); }, moved, 1};
  const std::string shape = model.text() + ", " + std::to_string(pages) + " pages";
  quantise.work(gpu.stream(), 0);
  if (download<std::uint32_t>(gpu, quantised.notFinite.device(), 1)[0] != 0) return bench.rows.wrong("quantise", shape, "values are not finite");
  const Target ofCopy{0.80, 0.92};
  bench.rows.timing("quantise", shape, measure(gpu, quantise, &bench.roofs.copy(), bench.pace), "GB/s", "copy", &ofCopy);

  for (const int tokens : bench.tiny ? std::vector<int>{64} : std::vector<int>{4096, 32768}) {
    const std::string name = model.text() + ", " + std::to_string(tokens) + " tokens x 8, whole, i8";
    if (bench.late("decode i8", name)) return;
    ListShape lists;
    lists.sequences = bench.tiny ? 2 : 8;
    lists.tokens = lists.contextTokens = tokens;
    lists.turns = bench.tiny ? 1 : 4;
    const Attention attention(gpu, pool, model, lists);
    const std::size_t outCount = static_cast<std::size_t>(lists.sequences * model.numHeads * model.headDim);
    const Memory out = Memory::onDevice(gpu, outCount * sizeof(float));
    gpu.check(gpu.table().fill(gpu.stream(), out.device(), 0xFF, out.bytes()), "fill");
    const double amount = static_cast<double>(lists.sequences) * tokens;
    const Job halves{[&](KvasirStream* stream, int turn) { attention.launch(stream, turn); }, amount, lists.turns};
    const Job eights{[&](KvasirStream* stream, int turn) {
                       const KvasirAttendRunsArgs own = attention.arguments(turn);
                       KvasirAttendRunsI8Args args{};
                       args.kv = quantised.view;
                       args.q = own.q;
                       args.numHeads = own.numHeads;
                       args.scale = own.scale;
                       args.numSequences = own.numSequences;
                       args.pageStarts = own.pageStarts;
                       args.pages = own.pages;
                       args.rows = own.rows;
                       args.maxPages = (tokens + KVASIR_PAGE_TOKENS - 1) / KVASIR_PAGE_TOKENS;
                       args.out = out.device<float>();
                       args.workspace = own.workspace;
                       args.workspaceBytes = own.workspaceBytes;
                       gpu.check(gpu.table().attendRunsI8(stream, &args), "attendRunsI8");
                     },
                     amount, lists.turns};
    // The same rows, rounded to eight bits: near, and not the same.
    halves.work(gpu.stream(), 0);
    eights.work(gpu.stream(), 0);
    const std::vector<float> want = download<float>(gpu, attention.arguments(0).out, outCount), got = download<float>(gpu, out.device(), outCount);
    double apart = 0, whole = 0;
    for (std::size_t i = 0; i < outCount; ++i) {
      apart += std::pow(static_cast<double>(got[i]) - static_cast<double>(want[i]), 2);
      whole += std::pow(static_cast<double>(want[i]), 2);
    }
    const double error = std::sqrt(apart / whole);
    if (!(error <= 0.05)) {
      bench.rows.wrong("decode i8", name, "off by " + std::to_string(error));
      continue;
    }
    const Target ofHalves{1.5, 1.8};
    bench.rows.timing("decode i8", name, measure(gpu, eights, &halves, bench.pace), "Mtoken/s", "own f16", &ofHalves);
  }
}

}  // namespace

void steps::quantised(Bench& bench) {
  for (const ModelShape& model : {ModelShape{32, 8, 128}, ModelShape{9, 3, 64}}) {
    if (bench.tiny && model.headDim == 128) continue;
    runShape(bench, model);
  }
}

}  // namespace kvasir::gpu::bench
