// Attention over chosen rows that lie in pinned host memory: read where they are, or copied into the device first. Which is
// better by the length of the runs, and from how many steps on that a copy answers.
#include <algorithm>
#include <cmath>
#include <string>

#include "bench.h"
#include "decoding.h"
#include "pages.h"

namespace kvasir::gpu::bench {

namespace {

struct Lists {
  std::vector<std::vector<KvasirKvRun>> heads;  // a list a KV head
  Memory rowStarts, runs;

  Lists(const Gpu& gpu, std::vector<std::vector<KvasirKvRun>> lists) : heads(std::move(lists)) {
    std::vector<std::int32_t> starts = {0};
    std::vector<KvasirKvRun> all;
    for (const auto& head : heads) {
      all.insert(all.end(), head.begin(), head.end());
      starts.push_back(static_cast<std::int32_t>(all.size()));
    }
    rowStarts = upload(gpu, starts);
    runs = upload(gpu, all);
  }
  KvasirRunRows rows() const { return {rowStarts.device<std::int32_t>(), runs.device<KvasirKvRun>(), 0}; }
};

// Rows one after the other, from page 0 on.
std::vector<KvasirKvRun> packed(int tokens) {
  std::mt19937 random(1);
  return randomRuns(tokens, 0, tokens, random);
}

// A K and a V piece for each run: from its place in `from` to its place among the packed rows of `to`.
std::vector<KvasirPiece> piecesOf(const KvasirKvView& from, const KvasirKvView& to, const Lists& lists, const std::vector<std::int32_t>& pages) {
  const std::size_t rowBytes = static_cast<std::size_t>(from.headDim) * 2;
  const auto at = [&](const KvasirKvView& view, int page, std::size_t head, std::size_t kv, int offset) {
    return view.base + static_cast<std::size_t>(page) * view.pageStride + head * view.headStride + kv * view.valueStride +
           static_cast<std::size_t>(offset) * rowBytes;
  };
  std::vector<KvasirPiece> pieces;
  for (std::size_t head = 0; head < lists.heads.size(); ++head) {
    int target = 0;
    for (const KvasirKvRun& run : lists.heads[head]) {
      for (int done = 0; done < run.len;) {
        const int offset = (target + done) % KVASIR_PAGE_TOKENS, page = (target + done) / KVASIR_PAGE_TOKENS;
        const int rows = std::min(run.len - done, KVASIR_PAGE_TOKENS - offset);
        for (const std::size_t kv : {std::size_t{0}, std::size_t{1}}) {
          pieces.push_back({at(from, pages[static_cast<std::size_t>(run.page)], head, kv, run.first + done), at(to, page, head, kv, offset),
                            static_cast<std::size_t>(rows) * rowBytes});
        }
        done += rows;
      }
      target += run.len;
    }
  }
  return pieces;
}

void runCase(Bench& bench, const ModelShape& model, const PagePool& host, int tokens, int runTokens) {
  const std::string shape = model.text() + ", " + std::to_string(tokens) + " rows in runs of " + std::to_string(runTokens);
  if (bench.late("zero-copy", shape)) return;
  const Gpu& gpu = bench.gpu;
  const int contextPages = host.numPages();
  std::mt19937 random(17);
  std::vector<std::vector<KvasirKvRun>> heads(static_cast<std::size_t>(model.numKvHeads));
  for (auto& head : heads) head = randomRuns(tokens, runTokens, contextPages * KVASIR_PAGE_TOKENS, random);
  const Lists there(gpu, heads), here(gpu, std::vector<std::vector<KvasirKvRun>>(heads.size(), packed(tokens)));
  const std::vector<std::int32_t> table = shuffledPages(contextPages, contextPages, 1, 5);
  const PagePool device(gpu, model, (tokens + KVASIR_PAGE_TOKENS - 1) / KVASIR_PAGE_TOKENS);
  const Memory tableIds = upload(gpu, table), plainIds = upload(gpu, shuffledPages(device.numPages(), device.numPages(), device.numPages(), 1)),
               tableStarts = upload(gpu, std::vector<std::int32_t>{0, contextPages}),
               plainStarts = upload(gpu, std::vector<std::int32_t>{0, device.numPages()});
  const DecodeAttention attention(gpu, model, 1, tokens);
  const std::size_t queries = static_cast<std::size_t>(model.numHeads * model.headDim);
  const Memory q = upload(gpu, randomFloats(queries)), out = Memory::onDevice(gpu, queries * sizeof(float)),
               outOfCopy = Memory::onDevice(gpu, queries * sizeof(float));
  const std::vector<KvasirPiece> pieces = piecesOf(host.view(), device.view(), there, table);
  const Memory pieceList = upload(gpu, pieces);
  const std::size_t largest = static_cast<std::size_t>(KVASIR_PAGE_TOKENS * model.headDim) * 2;
  const double bytes = 4.0 * model.numKvHeads * tokens * model.headDim;

  const Job zeroCopy{[&](KvasirStream* stream, int) {
                       attention.launch(stream, host.view(), 0, tableStarts.device<std::int32_t>(), tableIds.device<std::int32_t>(), there.rows(),
                                        q.device<float>(), out.device<float>());
                     },
                     bytes, 1};
  const auto copyPieces = [&](KvasirStream* stream) {
    const KvasirCopyPiecesArgs args{pieceList.device<KvasirPiece>(), static_cast<int32_t>(pieces.size()), largest, 16};
    gpu.check(gpu.table().copyPieces(stream, &args), "copyPieces");
  };
  const auto attendCopy = [&](KvasirStream* stream) {
    attention.launch(stream, device.view(), 0, plainStarts.device<std::int32_t>(), plainIds.device<std::int32_t>(), here.rows(), q.device<float>(),
                     outOfCopy.device<float>());
  };
  const Job copied{[&](KvasirStream* stream, int) {
                     copyPieces(stream);
                     attendCopy(stream);
                   },
                   bytes, 1};
  const Job resident{[&](KvasirStream* stream, int) { attendCopy(stream); }, bytes, 1};
  zeroCopy.work(gpu.stream(), 0);
  copied.work(gpu.stream(), 0);
  const std::vector<float> a = download<float>(gpu, out.device(), queries), b = download<float>(gpu, outOfCopy.device(), queries);
  std::vector<std::pair<int, int>> rows;
  for (const KvasirKvRun& run : there.heads[0]) {
    for (int i = 0; i < run.len; ++i) rows.emplace_back(table[static_cast<std::size_t>(run.page)], run.first + i);
  }
  const std::size_t headDim = static_cast<std::size_t>(model.headDim);
  const std::vector<float> firstQ = download<float>(gpu, q.device(), headDim), first(a.begin(), a.begin() + model.headDim);
  const double error = attentionError(gpu, host.view(), 0, rows, firstQ, first);
  if (!(error <= 2e-3)) return bench.rows.wrong("zero-copy", shape, "off by " + std::to_string(error));
  double apart = 0, whole = 0;
  for (std::size_t i = 0; i < queries; ++i) {
    apart += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    whole += std::pow(static_cast<double>(a[i]), 2);
  }
  if (!(std::sqrt(apart / whole) <= 2e-3)) return bench.rows.wrong("zero-copy", shape, "the copy gives another answer");

  const Timing inPlace = measure(gpu, zeroCopy, &bench.roofs.toDevice(), bench.pace);
  const Timing brought = measure(gpu, copied, &bench.roofs.toDevice(), bench.pace);
  const double again = measure(gpu, resident, nullptr, bench.pace).micros.median;
  bench.rows.timing("zero-copy", shape + ", read in place", inPlace, "GB/s", "host to device");
  bench.rows.timing("zero-copy", shape + ", copied first", brought, "GB/s", "host to device");
  // n steps in place cost n * inPlace; brought once, they cost brought + (n - 1) * again.
  const double saved = inPlace.micros.median - again;
  const std::string pays = shape + ", copying pays where the rows are read in";
  if (!(saved > 0)) return bench.rows.notRun("zero-copy", pays, "reading them in place is no slower than from the device");
  bench.rows.value("zero-copy", pays, std::max(1.0, std::ceil((brought.micros.median - again) / saved)), "steps or more");
}

}  // namespace

void steps::zeroCopy(Bench& bench) {
  const ModelShape model = bench.tiny ? ModelShape{9, 3, 64} : ModelShape{32, 8, 128};
  // A layer of 32,768 tokens.
  const PagePool host(bench.gpu, model, bench.tiny ? 16 : 2048, true);
  for (const int tokens : bench.tiny ? std::vector<int>{48} : std::vector<int>{128, 1024, 8192}) {
    for (const int runTokens : bench.tiny ? std::vector<int>{8} : std::vector<int>{1, 4, 16, 64}) runCase(bench, model, host, tokens, runTokens);
  }
}

}  // namespace kvasir::gpu::bench
