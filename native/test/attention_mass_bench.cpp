// Attention mass against prefill attention of as many rows in the same time slice, and weights over chosen rows: on
// shared machines only the ratios are results.
// Usage: attention_mass_bench [all|weights] [threads] [isa] [slices]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "attention_cache.h"
#include "attention_check.h"
#include "test_context.h"

using namespace kvasir;
using namespace kvasir::test;

namespace {

template <class Body>
double microsecondsOf(Body body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
}

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

void benchMass(Isa isa, int threads, int slices) {
  TestContext context(isa, threads);
  Random random(1);
  struct Case {
    Shape shape;
    int rows, tokens;
  };
  const Case cases[] = {{{3, 3, 64, KvType::f16}, 512, 4096}, {{3, 3, 64, KvType::f16}, 32, 4096},
                        {{2, 7, 64, KvType::f16}, 512, 4096}, {{2, 7, 64, KvType::f16}, 32, 4096},
                        {{2, 4, 128, KvType::f16}, 512, 4096}, {{2, 4, 128, KvType::f16}, 32, 4096},
                        {{3, 3, 64, KvType::f16}, 512, 512},  {{3, 3, 64, KvType::f16}, 32, 600}};
  for (const Case& one : cases) {
    const Shape& shape = one.shape;
    const Cache cache(context, random, shape, {one.tokens});
    const std::vector<float> q = drawNormal(random, static_cast<std::size_t>(one.rows * shape.numHeads() * shape.headDim));
    std::vector<float> out(q.size()), mass(static_cast<std::size_t>(shape.numHeads() * one.tokens));
    const std::vector<std::int32_t> rowStarts = {0, one.rows};
    const Batch batch = cache.batch(rowStarts);
    const float scale = 1.0f / std::sqrt(static_cast<float>(shape.headDim));
    std::vector<float> lse(static_cast<std::size_t>(one.rows * shape.numHeads()));
    std::vector<double> attending, massing, ratios, shortRatios;
    for (int slice = 0; slice < slices; ++slice) {
      const auto attend = [&] {
        attendPrefill(context, cache.view, shape.layer, q.data(), shape.numHeads(), scale, 0, batch, out.data(),
                      lse.data());
      };
      const double before = microsecondsOf(attend);
      const auto add = [&](const float* known) {
        attentionMass(context, cache.view, shape.layer, q.data(), shape.numHeads(), scale, 0, batch, known, mass.data(),
                      static_cast<std::size_t>(one.tokens));
      };
      massing.push_back(microsecondsOf([&] { add(nullptr); }));
      const double withLse = microsecondsOf([&] { add(lse.data()); });
      attending.push_back(std::min(before, microsecondsOf(attend)));
      ratios.push_back(massing.back() / attending.back());
      shortRatios.push_back(withLse / attending.back());
    }
    std::printf("d=%-3d kvHeads=%d group=%d, %3d rows of %4d: mass %8.0f us, prefill %8.0f us, ratio %.2f (quartiles %.2f-%.2f), with lse %.2f\n",
                shape.headDim, shape.numKvHeads, shape.group, one.rows, one.tokens, quantile(massing, 0.5),
                quantile(attending, 0.5), quantile(ratios, 0.5), quantile(ratios, 0.25), quantile(ratios, 0.75),
                quantile(shortRatios, 0.5));
    std::fflush(stdout);
  }
}

void benchWeights(Isa isa, int slices) {
  TestContext context(isa, 1);
  Random random(1);
  for (const Shape& shape : {Shape{3, 3, 64, KvType::f16}, Shape{2, 4, 128, KvType::f16}}) {
    const Cache cache(context, random, shape, {8192});
    const std::vector<float> q = drawNormal(random, static_cast<std::size_t>(shape.group * shape.headDim));
    for (int count : {64, 512, 4096}) {
      std::vector<std::int32_t> indices;
      for (int i = 0; i < count; ++i) indices.push_back(static_cast<std::int32_t>(i * (8192 / count)));
      std::vector<float> out(static_cast<std::size_t>(shape.group * count));
      std::vector<double> times;
      for (int slice = 0; slice < 20 * slices; ++slice) {
        times.push_back(microsecondsOf([&] {
          attentionWeights(isa, cache.view, shape.layer, 1, cache.pages.data(), q.data(), shape.group, indices.data(), count,
                           0.125f, out.data());
        }));
      }
      std::printf("d=%-3d group=%d, weights over %4d rows: %.1f us (best %.1f)\n", shape.headDim, shape.group, count,
                  quantile(times, 0.5), quantile(times, 0.0));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "all";
  const int threads = argc > 2 ? std::atoi(argv[2]) : 1, slices = argc > 4 ? std::atoi(argv[4]) : 11;
  const std::vector<NamedIsa> isas = availableIsas();
  NamedIsa isa = isas.back();
  for (const NamedIsa& each : isas) {
    if (argc > 3 && each.name == std::string(argv[3])) isa = each;
  }
  std::printf("attention mass, %d threads, %s\n", threads, isa.name);
  if (what == "all") benchMass(isa.isa, threads, slices);
  benchWeights(isa.isa, slices);
}
