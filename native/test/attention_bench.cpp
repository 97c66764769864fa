// Attention against OpenBLAS sgemm (prefill) and against a read roof (decode) of the same time slice: only ratios are
// results, because shared machines make absolute numbers swing.
// Usage: attention_bench [prefill|decode|small] [threads] [isa] [slices]
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "attention_cache.h"
#include "attention_check.h"
#include "test_context.h"

extern "C" {
void cblas_sgemm(int order, int transA, int transB, int m, int n, int k, float alpha, const float* a, int lda,
                 const float* b, int ldb, float beta, float* c, int ldc);
void openblas_set_num_threads(int threads);
}

using namespace kvasir;
using namespace kvasir::test;

namespace {

template <class Body>
double timed(Body body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

void printRatios(const char* name, const std::vector<double>& ratios, const std::vector<double>& rates,
                 const char* unit) {
  std::printf("%-38s ratio %.2f (quartiles %.2f-%.2f), %.1f %s, best %.1f\n", name, quantile(ratios, 0.5),
              quantile(ratios, 0.25), quantile(ratios, 0.75), quantile(rates, 0.5), unit, quantile(rates, 1.0));
  std::fflush(stdout);
}

struct Arena {
  std::uint8_t* data;
  std::size_t bytes;
  explicit Arena(std::size_t size) : bytes(size) {
    data = static_cast<std::uint8_t*>(std::aligned_alloc(1 << 21, (size + (1 << 21) - 1) >> 21 << 21));
    madvise(data, bytes, MADV_HUGEPAGE);
    // Small positive halves: 0x2c00 is 0.0625.
    std::uint16_t* halves = reinterpret_cast<std::uint16_t*>(data);
    for (std::size_t i = 0; i < bytes / 2; ++i)
      halves[i] = static_cast<std::uint16_t>(0x2c00 + i * 7919 % 1024 + (i % 3 == 0 ? 0x8000 : 0));
  }
  ~Arena() { std::free(data); }
};

KvView viewOf(const Arena& arena, int numLayers, int numKvHeads, int headDim) {
  const std::size_t valueStride = static_cast<std::size_t>(2 * kPageTokens * headDim);
  return {arena.data,
          2 * valueStride * numKvHeads * numLayers,
          2 * valueStride * numKvHeads,
          2 * valueStride,
          valueStride,
          KvType::f16,
          numKvHeads,
          headDim};
}

// Reads [address, address + bytes) and returns something that depends on all of it.
std::uint64_t readAll(const std::uint8_t* address, std::size_t bytes) {
  typedef std::uint64_t Wide __attribute__((vector_size(64)));
  const Wide* from = reinterpret_cast<const Wide*>(address);
  Wide sums[4] = {};
  for (std::size_t i = 0; i < bytes / sizeof(Wide); ++i) sums[i % 4] += from[i];
  return (sums[0] + sums[1] + sums[2] + sums[3])[0];
}

// What the cores can read from consecutive addresses.
double readSeconds(Context& context, const Arena& arena, std::size_t offset, std::size_t bytes) {
  const std::size_t pieces = 64, piece = bytes / pieces;
  auto read = [&](int number, int) {
    volatile std::uint64_t sink = readAll(arena.data + offset + static_cast<std::size_t>(number) * piece, piece);
    static_cast<void>(sink);
  };
  return timed([&] { context.forEach(static_cast<int>(pieces), read); });
}

struct Piece {
  const std::uint8_t* data;
  std::size_t bytes;
};

// What they can read from the rows that attention reads, in its order, each piece prefetched some pieces ahead.
double readPiecesSeconds(Context& context, const std::vector<Piece>& pieces) {
  const std::size_t tasks = 48, share = (pieces.size() + tasks - 1) / tasks;
  const std::size_t ahead = std::max<std::size_t>(1, 8192 / pieces[0].bytes);
  auto read = [&](int number, int) {
    const std::size_t begin = static_cast<std::size_t>(number) * share, end = std::min(pieces.size(), begin + share);
    std::uint64_t sum = 0;
    for (std::size_t i = begin; i < end; ++i) {
      const Piece& next = pieces[std::min(i + ahead, end - 1)];
      for (std::size_t line = 0; line < next.bytes; line += 64) __builtin_prefetch(next.data + line);
      sum += readAll(pieces[i].data, pieces[i].bytes);
    }
    volatile std::uint64_t sink = sum;
    static_cast<void>(sink);
  };
  return timed([&] { context.forEach(static_cast<int>(tasks), read); });
}

void benchPrefill(Isa isa, int threads, int slices) {
  openblas_set_num_threads(threads);
  TestContext context(isa, threads);
  const int m = 5120, n = 576;
  Random random(1);
  const std::vector<float> a = drawNormal(random, static_cast<std::size_t>(m) * n),
                           b = drawNormal(random, static_cast<std::size_t>(n) * n);
  std::vector<float> c(static_cast<std::size_t>(m) * n);
  struct Case {
    const char* name;
    int kvHeads, group, headDim, rows, tokens;
  };
  const Case cases[] = {
      {"d=64 g=3, 2048 of 2048", 3, 3, 64, 2048, 2048}, {"d=64 g=3, 512 of 4096", 3, 3, 64, 512, 4096},
      {"d=64 g=3, 256 of 256", 3, 3, 64, 256, 256},     {"d=64 g=7, 512 of 2048", 2, 7, 64, 512, 2048},
      {"d=128 g=4, 512 of 2048", 2, 4, 128, 512, 2048}, {"d=96 g=1, 512 of 2048", 4, 1, 96, 512, 2048},
      {"d=80 g=1, 512 of 2048", 4, 1, 80, 512, 2048},   {"d=256 g=4, 512 of 2048", 1, 4, 256, 512, 2048}};
  for (const Case& one : cases) {
    const Arena arena(std::size_t{16} << 20);
    const KvView view = viewOf(arena, 1, one.kvHeads, one.headDim);
    const std::size_t values = static_cast<std::size_t>(one.rows * one.kvHeads * one.group * one.headDim);
    const std::vector<float> q = drawNormal(random, values);
    std::vector<float> out(values);
    std::vector<std::int32_t> pages;
    for (int page = 0; page < (one.tokens + 15) / 16; ++page) pages.push_back(page);
    std::shuffle(pages.begin(), pages.end(), random);
    const std::int32_t rowStarts[] = {0, one.rows}, tokens[] = {one.tokens},
                       pageStarts[] = {0, static_cast<std::int32_t>(pages.size())};
    double keys = 0;
    for (int r = 0; r < one.rows; ++r) keys += one.tokens - one.rows + r + 1;
    const double flops = 4.0 * one.headDim * one.kvHeads * one.group * keys;
    std::vector<double> ratios, rates;
    for (int slice = 0; slice < slices; ++slice) {
      const double gemm =
          timed([&] { cblas_sgemm(101, 111, 112, m, n, n, 1.0f, a.data(), n, b.data(), n, 0.0f, c.data(), n); });
      const double ours = timed([&] {
        attendPrefill(context, view, 0, q.data(), one.kvHeads * one.group, 0.125f, 0,
                      {1, rowStarts, tokens, pageStarts, pages.data()}, out.data());
      });
      const double gemmAgain =
          timed([&] { cblas_sgemm(101, 111, 112, m, n, n, 1.0f, a.data(), n, b.data(), n, 0.0f, c.data(), n); });
      rates.push_back(flops / ours / 1e9);
      ratios.push_back(flops / ours / (2.0 * m * n * n / std::min(gemm, gemmAgain)));
    }
    printRatios(one.name, ratios, rates, "GFLOP/s");
  }
}

// Rows of `length` tokens out of each page, `share` of the pages.
std::vector<KvRun> drawRuns(Random& random, int numPages, int length, double share) {
  std::vector<KvRun> runs;
  std::bernoulli_distribution taken(share);
  for (int page = 0; page < numPages; ++page) {
    if (!taken(random)) continue;
    for (int first = 0; first < kPageTokens; first += kPageTokens > 2 * length ? 2 * length + 1 : kPageTokens) {
      if (first + length <= kPageTokens) runs.push_back({page, first, length});
    }
  }
  return runs;
}

void benchDecode(Isa isa, int threads, int slices) {
  TestContext context(isa, threads);
  const Arena arena(std::size_t{768} << 20);
  Random random(1);
  struct Case {
    const char* name;
    int kvHeads, group, headDim, runLength;
    double share;
    bool shuffled;
  };
  const Case cases[] = {{"d=64 g=3 contiguous", 3, 3, 64, 16, 1.0, false},
                        {"d=64 g=3 pages, random", 3, 3, 64, 16, 1.0, true},
                        {"d=64 g=3 half of the pages, random", 3, 3, 64, 16, 0.5, true},
                        {"d=64 g=3 runs of 5, random", 3, 3, 64, 5, 0.5, true},
                        {"d=64 g=3 single tokens, random", 3, 3, 64, 1, 0.5, true},
                        {"d=64 g=7 pages, random", 2, 7, 64, 16, 1.0, true},
                        {"d=128 g=4 contiguous", 8, 4, 128, 16, 1.0, false},
                        {"d=128 g=4 pages, random", 8, 4, 128, 16, 1.0, true},
                        {"d=128 g=4 single tokens, random", 8, 4, 128, 1, 0.5, true},
                        {"d=96 g=1 pages, random", 8, 1, 96, 16, 1.0, true}};
  for (const Case& one : cases) {
    const KvView view = viewOf(arena, 1, one.kvHeads, one.headDim);
    std::vector<std::int32_t> all;
    for (std::size_t page = 0; page < arena.bytes / view.pageStride; ++page)
      all.push_back(static_cast<std::int32_t>(page));
    if (one.shuffled) std::shuffle(all.begin(), all.end(), random);
    const int numSequences = 16, numPages = 128;
    std::vector<double> ratios, pieceRatios, rates;
    const std::size_t heads = static_cast<std::size_t>(numSequences * one.kvHeads * one.group);
    const std::vector<float> q = drawNormal(random, heads * one.headDim);
    std::vector<float> out(heads * one.headDim);
    std::size_t next = 0;
    for (int slice = 0; slice < slices; ++slice) {
      std::vector<std::int32_t> pages, pageStarts = {0}, rowStarts = {0},
                                       tokens(static_cast<std::size_t>(numSequences), numPages * 16);
      std::vector<KvRun> runs;
      std::vector<Piece> pieces;
      double bytes = 0;
      for (int s = 0; s < numSequences; ++s) {
        // Other pages than those of the list, so that the probe leaves nothing of the list in a cache.
        const std::size_t probe = next + all.size() / 2;
        for (int page = 0; page < numPages; ++page) pages.push_back(all[next++ % all.size()]);
        pageStarts.push_back(static_cast<std::int32_t>(pages.size()));
        for (int head = 0; head < one.kvHeads; ++head) {
          const std::vector<KvRun> chosen = drawRuns(random, numPages, one.runLength, one.share);
          for (const KvRun& run : chosen) {
            const std::size_t row = 2 * static_cast<std::size_t>(one.headDim),
                              runBytes = static_cast<std::size_t>(run.len) * row;
            const std::uint8_t* key =
                view.base + static_cast<std::size_t>(all[(probe + run.page) % all.size()]) * view.pageStride +
                static_cast<std::size_t>(head) * view.headStride + static_cast<std::size_t>(run.first) * row;
            pieces.push_back({key, runBytes});
            pieces.push_back({key + view.valueStride, runBytes});
            bytes += 2.0 * static_cast<double>(runBytes);
          }
          runs.insert(runs.end(), chosen.begin(), chosen.end());
          rowStarts.push_back(static_cast<std::int32_t>(runs.size()));
        }
      }
      const Batch batch = {numSequences, nullptr, tokens.data(), pageStarts.data(), pages.data()};
      const std::size_t roofBytes = std::size_t{48} << 20;
      const double before =
          readSeconds(context, arena, (static_cast<std::size_t>(slice) * 97 % 14) * roofBytes, roofBytes);
      const double ours = timed([&] {
        attendRuns(context, view, 0, q.data(), one.kvHeads * one.group, 0.125f, batch, {rowStarts.data(), runs.data()},
                   out.data(), nullptr);
      });
      const double after =
          readSeconds(context, arena, (static_cast<std::size_t>(slice) * 97 % 14 + 1) * roofBytes, roofBytes);
      const double same = readPiecesSeconds(context, pieces);
      rates.push_back(bytes / ours / 1e9);
      ratios.push_back(bytes / ours / (roofBytes / std::min(before, after)));
      pieceRatios.push_back(same / ours);
    }
    printRatios(one.name, ratios, rates, "GB/s");
    std::printf("%38s ratio %.2f to plain reads of such pieces\n", "", quantile(pieceRatios, 0.5));
  }
}

// One sequence, 256 chosen tokens a head, as a decode step does for each of 30 layers: microseconds a layer.
void benchSmall(Isa isa, int threads, int slices) {
  TestContext context(isa, threads);
  const Arena arena(std::size_t{512} << 20);
  Random random(1);
  for (int runLength : {16, 5, 1}) {
    const int numLayers = 30, numPages = 256;
    const KvView view = viewOf(arena, numLayers, 3, 64);
    const std::vector<float> q = drawNormal(random, 9 * 64);
    std::vector<float> out(9 * 64);
    std::vector<std::int32_t> pages, pageStarts = {0, numPages}, tokens = {numPages * 16};
    for (int page = 0; page < numPages; ++page) pages.push_back(page);
    std::shuffle(pages.begin(), pages.end(), random);
    std::vector<double> microseconds;
    for (int slice = 0; slice < slices; ++slice) {
      std::vector<std::vector<KvRun>> runs(numLayers);
      std::vector<std::vector<std::int32_t>> rowStarts(numLayers);
      for (int layer = 0; layer < numLayers; ++layer) {
        rowStarts[layer] = {0};
        for (int head = 0; head < 3; ++head) {
          std::vector<KvRun> chosen = drawRuns(random, numPages, runLength, runLength == 1 ? 0.25 : 0.15);
          int left = 256;
          for (const KvRun& run : chosen) {
            if (left < run.len) break;
            runs[layer].push_back(run);
            left -= run.len;
          }
          rowStarts[layer].push_back(static_cast<std::int32_t>(runs[layer].size()));
        }
      }
      const double seconds = timed([&] {
        for (int layer = 0; layer < numLayers; ++layer) {
          attendRuns(context, view, layer, q.data(), 9, 0.125f,
                     {1, nullptr, tokens.data(), pageStarts.data(), pages.data()},
                     {rowStarts[layer].data(), runs[layer].data()}, out.data(), nullptr);
        }
      });
      microseconds.push_back(seconds / numLayers * 1e6);
    }
    std::printf("256 tokens x 3 heads, runs of %-2d: %.1f us a layer (best %.1f)\n", runLength,
                quantile(microseconds, 0.5), quantile(microseconds, 0.0));
  }
}

}  // namespace

// OpenBLAS chooses its kernels while it is loaded, and may take a processor that it does not know, or is told about,
// for an AVX2 one: a comparison against those would flatter us.
void useBestBlas(char** argv, Isa isa) {
#if defined(__x86_64__)
  const char* best = isa == Isa::avx512 ? "SKYLAKEX" : "HASWELL";
  const char* chosen = getenv("OPENBLAS_CORETYPE");
  if (chosen && chosen == std::string(best)) return;
  setenv("OPENBLAS_CORETYPE", best, 1);
  execv("/proc/self/exe", argv);
#else
  static_cast<void>(argv);
  static_cast<void>(isa);
#endif
}

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "prefill";
  const int threads = argc > 2 ? std::atoi(argv[2]) : 1, slices = argc > 4 ? std::atoi(argv[4]) : 11;
  const std::vector<NamedIsa> isas = availableIsas();
  NamedIsa isa = isas.back();
  for (const NamedIsa& each : isas) {
    if (argc > 3 && each.name == std::string(argv[3])) isa = each;
  }
  useBestBlas(argv, isa.isa);
  std::printf("%s, %d threads, %s\n", what.c_str(), threads, isa.name);
  if (what == "prefill") benchPrefill(isa.isa, threads, slices);
  if (what == "decode") benchDecode(isa.isa, threads, slices);
  if (what == "small") benchSmall(isa.isa, threads, slices);
}
