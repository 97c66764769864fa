// encodeSegments: means, codes and radii of a layer's segments, as a sequence gets them when its prompt has been read.
#include <algorithm>
#include <string>

#include "bench.h"
#include "principal.h"

namespace kvasir::gpu::bench {

namespace {

constexpr int kSegmentTokens = 25, kCodeBits = 2, kVectorBits = 8;  // sentence-kv's defaults

void runCase(Bench& bench, const ModelShape& model, int tokens) {
  const Gpu& gpu = bench.gpu;
  const std::string shape = model.text() + ", " + std::to_string(tokens) + " tokens, codes of " + std::to_string(kCodeBits);
  if (bench.late("encode", shape)) return;
  const int pages = (tokens + KVASIR_PAGE_TOKENS - 1) / KVASIR_PAGE_TOKENS;
  const double keyBytes = static_cast<double>(tokens) * model.numKvHeads * model.headDim * 2.0;
  // A layer a turn, more than the cache holds in all.
  const int layers = bench.tiny ? 2 : std::clamp(static_cast<int>(512e6 / keyBytes), 2, 32);
  const PagePool pool(gpu, model, pages * layers);
  KvasirKvView kv = pool.view();
  kv.layerStride = PagePool::pageBytes(model);
  kv.pageStride = kv.layerStride * static_cast<std::size_t>(layers);
  const std::vector<std::int32_t> table = shuffledPages(pages, pages, 1, 3);
  const Memory pageIds = upload(gpu, table);
  const PrincipalIndex index(gpu, model, layers, tokens, kSegmentTokens, kCodeBits, kVectorBits);
  const Job job{[&](KvasirStream* stream, int turn) { index.encode(stream, kv, pageIds.device<std::int32_t>(), turn, 1); },
                keyBytes + index.layerBytes(), layers};
  job.work(gpu.stream(), layers - 1);
  const std::string problem = index.problem(kv, table, layers - 1);
  if (!problem.empty()) return bench.rows.wrong("encode", shape, problem);
  const Target target{0.80, 0.92};
  bench.rows.timing("encode", shape, measure(gpu, job, &bench.roofs.copy(), bench.pace), "GB/s", "copy", keyBytes >= 32e6 ? &target : nullptr);
}

}  // namespace

void steps::encode(Bench& bench) {
  const std::vector<int> lengths = bench.tiny ? std::vector<int>{400} : std::vector<int>{8192, 32768, 131072};
  for (const ModelShape& model : {ModelShape{32, 8, 128}, ModelShape{9, 3, 64}}) {
    if (bench.tiny && model.headDim == 128) continue;
    for (const int tokens : lengths) runCase(bench, model, tokens);
  }
}

}  // namespace kvasir::gpu::bench
