// What reuse of stored KV costs: rows taken over, keys turned, against plain copies of as many bytes; attention of
// scattered rows against prefill attention of all rows, by the products that each has to do. Only ratios of the same
// time slice are results.
// Usage: reuse_bench [turn|rows] [threads] [isa] [slices]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <numeric>
#include <string>

#include "attention_cache.h"
#include "attention_check.h"
#include "kvasir/kv_transfer.h"
#include "test_context.h"
#include "../runtime/memory.h"

using namespace kvasir;
using namespace kvasir::test;

namespace {

// One thread is timed by what it had of a processor: others that want one too then disturb less.
double now(int threads) {
  if (threads == 1) return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <class Body>
double secondsOf(const Context& context, Body body) {
  const double start = now(context.workers());
  body();
  return now(context.workers()) - start;
}

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

// Halves of ordinary size, in memory as an arena has it.
kvasir::Memory drawHalves(std::size_t count) {
  kvasir::Memory memory(count * sizeof(std::uint16_t));
  std::uint16_t* halves = reinterpret_cast<std::uint16_t*>(memory.data());
  for (std::size_t i = 0; i < count; ++i) halves[i] = static_cast<std::uint16_t>(0x3000 + i * 7919 % 0x0c00 + (i % 3 == 0 ? 0x8000 : 0));
  return memory;
}

struct TurnCase {
  const char* name;
  int runTokens;  // rows that follow each other in both and turn alike; 0: none turns
  bool shuffled;  // runs in any order
  RopePairing pairing;
};

void benchTurns(Isa isa, int threads, int slices) {
  TestContext context(isa, threads);
  Random random(1);
  const TurnCase cases[] = {{"copied, not turned", 0, false, RopePairing::half},
                            {"one turn for all rows", 4096, false, RopePairing::half},
                            {"interleaved pairs, one turn", 4096, false, RopePairing::interleaved},
                            {"runs of 64, a turn each", 64, true, RopePairing::half},
                            {"rows in any order, a turn each", 1, true, RopePairing::half}};
  for (const Shape& shape : {Shape{3, 3, 64, KvType::f16}, Shape{8, 4, 128, KvType::f16}}) {
    // Enough layers that none is left in a cache when its turn comes again.
    const int tokens = 4096, layers = static_cast<int>(1 + 160e6 / (4.0 * tokens * shape.numKvHeads * shape.headDim));
    const std::size_t layerHalves = std::size_t{2} * tokens * static_cast<std::size_t>(shape.numKvHeads * shape.headDim);
    const std::size_t layerBytes = layerHalves * sizeof(std::uint16_t);
    const kvasir::Memory source = drawHalves(layerHalves * static_cast<std::size_t>(layers)),
                 target = drawHalves(layerHalves * static_cast<std::size_t>(layers));
    const std::size_t partBytes = static_cast<std::size_t>(2 * kPageTokens * shape.headDim), tile = 2 * partBytes * static_cast<std::size_t>(shape.numKvHeads);
    const KvView arena{target.data(), tile * static_cast<std::size_t>(layers), tile,
                       2 * partBytes, partBytes, KvType::f16, shape.numKvHeads, shape.headDim};
    std::vector<std::int32_t> pages(tokens / kPageTokens), slots, order(tokens);
    std::iota(pages.begin(), pages.end(), 0);
    std::shuffle(pages.begin(), pages.end(), random);
    for (int i = 0; i < tokens; ++i) slots.push_back(pages[static_cast<std::size_t>(i / kPageTokens)] * kPageTokens + i % kPageTokens);
    for (const TurnCase& one : cases) {
      const int length = std::max(one.runTokens, 1), runs = tokens / length, pairs = shape.headDim / 2;
      std::vector<std::int32_t> starts(static_cast<std::size_t>(runs)), rows, rowTurns;
      std::iota(starts.begin(), starts.end(), 0);
      if (one.shuffled) std::shuffle(starts.begin(), starts.end(), random);
      for (int run = 0; run < runs; ++run) {
        for (int i = 0; i < length; ++i) {
          rows.push_back(starts[static_cast<std::size_t>(run)] * length + i);
          rowTurns.push_back(run);
        }
      }
      std::vector<float> angles = drawNormal(random, static_cast<std::size_t>(runs * pairs), 100.0f), cos, sin;
      for (float angle : angles) cos.push_back(std::cos(angle)), sin.push_back(std::sin(angle));
      const KeyTurns turns{cos.data(), sin.data(), one.pairing, shape.headDim, rowTurns.data()};
      int next = 0;
      const auto layerOf = [&] { return static_cast<std::size_t>(next++ % layers); };
      const auto copy = [&] {
        const std::size_t layer = layerOf(), pieces = 32, piece = layerBytes / pieces;
        auto body = [&](int number, int) {
          const std::size_t at = layer * layerBytes + static_cast<std::size_t>(number) * piece;
          std::memcpy(target.data() + at, source.data() + at, piece);
        };
        context.forEach(static_cast<int>(pieces), body);
      };
      const auto adopt = [&] {
        const std::size_t layer = layerOf();
        const KvView from = denseView(source.data() + layer * layerBytes, tokens, KvType::f16,
                                      shape.numKvHeads, shape.headDim);
        copyKv(context, {from, 0, rows.data()}, {arena, static_cast<int>(layer), slots.data()}, tokens,
               one.runTokens > 0 ? &turns : nullptr);
      };
      std::vector<double> ratios, rates;
      for (int slice = 0; slice < 4 * slices; ++slice) {
        const double before = secondsOf(context, copy), ours = secondsOf(context, adopt), after = secondsOf(context, copy);
        ratios.push_back((before + after) / 2 / ours);
        rates.push_back(2.0 * static_cast<double>(layerBytes) / ours / 1e9);
      }
      std::printf("d=%-3d kvHeads=%d, %-32s %.2f of a copy (quartiles %.2f-%.2f), %.1f GB/s read and written\n", shape.headDim,
                  shape.numKvHeads, one.name, quantile(ratios, 0.5), quantile(ratios, 0.25), quantile(ratios, 0.75),
                  quantile(rates, 0.5));
      std::fflush(stdout);
    }
  }
}

double productsOf(const Shape& shape, const std::vector<std::int32_t>& positions) {
  double keys = 0;
  for (int position : positions) keys += position + 1;
  return 4.0 * shape.headDim * shape.numHeads() * keys;
}

void benchRows(Isa isa, int threads, int slices) {
  TestContext context(isa, threads);
  Random random(1);
  const int tokens = 4096;
  for (const Shape& shape : {Shape{3, 3, 64, KvType::f16}, Shape{2, 4, 128, KvType::f16}}) {
    const Cache cache(context, random, shape, {tokens});
    const std::size_t rowValues = static_cast<std::size_t>(shape.numHeads() * shape.headDim);
    const std::vector<float> q = drawNormal(random, tokens * rowValues);
    std::vector<float> out(q.size());
    const auto attend = [&](const std::vector<std::int32_t>& positions) {
      const std::int32_t rowStarts[] = {0, static_cast<std::int32_t>(positions.size())}, seen[] = {tokens};
      const Batch batch{1, rowStarts, seen, cache.pageStarts.data(), cache.pages.data(), positions.data()};
      attendPrefill(context, cache.view, shape.layer, q.data(), shape.numHeads(), 0.125f, 0, batch, out.data());
    };
    std::vector<std::int32_t> all(tokens);
    std::iota(all.begin(), all.end(), 0);
    for (double share : {0.002, 0.005, 0.02, 0.05, 0.15, 0.5}) {
      std::vector<double> ratios, times;
      for (int slice = 0; slice < slices; ++slice) {
        std::vector<std::int32_t> some = all;
        std::shuffle(some.begin(), some.end(), random);
        some.resize(static_cast<std::size_t>(share * tokens));
        std::sort(some.begin(), some.end());
        const double before = secondsOf(context, [&] { attend(all); }), ours = secondsOf(context, [&] { attend(some); }),
                     after = secondsOf(context, [&] { attend(all); });
        ratios.push_back(productsOf(shape, some) / ours / (productsOf(shape, all) / ((before + after) / 2)));
        times.push_back(ours * 1e3);
      }
      std::printf("d=%-3d group=%d, %4.1f %% of %d rows: %.2f of dense (quartiles %.2f-%.2f), %.2f ms\n", shape.headDim,
                  shape.group, 100 * share, tokens, quantile(ratios, 0.5), quantile(ratios, 0.25), quantile(ratios, 0.75),
                  quantile(times, 0.5));
      std::fflush(stdout);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "rows";
  const int threads = argc > 2 ? std::atoi(argv[2]) : 1, slices = argc > 4 ? std::atoi(argv[4]) : 11;
  const std::vector<NamedIsa> isas = availableIsas();
  NamedIsa isa = isas.back();
  for (const NamedIsa& each : isas) {
    if (argc > 3 && each.name == std::string(argv[3])) isa = each;
  }
  std::printf("reuse, %s, %d threads, %s\n", what.c_str(), threads, isa.name);
  if (what == "turn") benchTurns(isa.isa, threads, slices);
  if (what == "rows") benchRows(isa.isa, threads, slices);
}
