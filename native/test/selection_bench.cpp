// Times a whole select call and index growth over the layers of a model, so that caches are as cold as in a decode
// step. Usage: selection_bench [workers] [tokens] [budget] [isa]
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "selection_check.h"
#include "selection_data.h"

namespace kvasir::test {
namespace {

double nowUs() {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Of all threads, waiting included; with one worker it is what the work costs, however busy the machine is.
double cpuUs() { return static_cast<double>(std::clock()) * 1e6 / CLOCKS_PER_SEC; }

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Moves the pages to huge pages, as the arenas of the addon have them.
std::unique_ptr<std::uint8_t, decltype(&std::free)> onHugePages(Sequence& sequence) {
  constexpr std::size_t hugePage = std::size_t{1} << 21;
  const std::size_t bytes = (sequence.memory.size() + hugePage - 1) / hugePage * hugePage;
  auto* memory = static_cast<std::uint8_t*>(std::aligned_alloc(hugePage, bytes));
#if defined(__linux__)
  madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  std::memcpy(memory, sequence.memory.data(), sequence.memory.size());
  std::vector<std::uint8_t>().swap(sequence.memory);
  sequence.kv.base = memory;
  return {memory, &std::free};
}

void bench(int workers, int tokens, int budget, const char* wantedIsa) {
  constexpr int layers = 30, kvHeads = 3, group = 3, dim = 64, rounds = 30;
  Random random(1);
  Sequence sequence(random, layers, kvHeads, dim, tokens, KvType::f16);
  const auto memory = onHugePages(sequence);
  std::vector<std::int32_t> ends;
  while ((ends.empty() ? 0 : ends.back()) + 40 < tokens)
    ends.push_back((ends.empty() ? 0 : ends.back()) + random.between(10, 40));
  std::vector<float> q = randomQueries(random, kvHeads * group, dim, 1);
  for (const NamedIsa& isa : availableIsas()) {
    if (wantedIsa && std::strcmp(wantedIsa, isa.name) != 0) continue;
    TestContext context(isa.isa, workers);
    for (const int bits : {2, 1}) {
      SegmentIndex index({layers, kvHeads, dim, bits, 16});
      const double start = nowUs();
      index.extend(context, sequence.kv, sequence.pages.data(), ends.data(), static_cast<int>(ends.size()));
      std::printf("%-7s %d-bit index of %d tokens in %zu segments: %.2f ms, %.2f %% of float16 KV\n", isa.name, bits,
                  index.numTokens(), ends.size(), (nowUs() - start) / 1e3,
                  100.0 * static_cast<double>(index.bytes()) / (index.numTokens() * 256.0 * layers * kvHeads));
      for (const double poolFactor : {2.0, 0.0}) {
        SegmentSelector selector(index, {{budget, 4, 16, true}, poolFactor});
        ChosenRuns out;
        std::vector<double> times, cpuTimes;
        for (int round = 0; round < rounds; ++round) {
          const double before = nowUs(), cpuBefore = cpuUs();
          for (int layer = 0; layer < layers; ++layer) {
            selector.select(
                context, {sequence.kv, layer, q.data(), kvHeads * group, 0.125f, tokens, sequence.pages.data()}, out);
          }
          times.push_back((nowUs() - before) / layers);
          cpuTimes.push_back((cpuUs() - cpuBefore) / layers);
        }
        std::printf(
            "%-7s %d-bit, pool %g x %d: %.1f us a layer (best %.1f; CPU %.1f, best %.1f), %d workers, %.0f pooled, %zu "
            "runs\n",
            isa.name, bits, poolFactor, budget, median(times), *std::min_element(times.begin(), times.end()),
            median(cpuTimes), *std::min_element(cpuTimes.begin(), cpuTimes.end()), workers,
            selector.counts.pooled / selector.counts.calls, out.runs.size());
      }
    }
    ExactSelector oracle({budget, 0, 1, true});
    ChosenRuns out;
    const double before = nowUs();
    for (int layer = 0; layer < layers; ++layer)
      oracle.select(context, {sequence.kv, layer, q.data(), kvHeads * group, 0.125f, tokens, sequence.pages.data()},
                    out);
    std::printf("%-7s oracle: %.1f us a layer\n", isa.name, (nowUs() - before) / layers);
  }
}

}  // namespace
}  // namespace kvasir::test

int main(int argc, char** argv) {
  const auto number = [&](int i, int otherwise) { return argc > i ? std::atoi(argv[i]) : otherwise; };
  kvasir::test::bench(number(1, 2), number(2, 4096), number(3, 256), argc > 4 ? argv[4] : nullptr);
}
