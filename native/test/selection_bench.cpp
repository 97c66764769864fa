// Times a whole select call, its parts and index growth over the layers of a model, so that caches are as cold as in a
// decode step. Usage: selection_bench [workers] [tokens] [budget] [isa]
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>

#include "../cpu/selection/budget.h"
#include "../cpu/selection/channel_storage.h"
#include "../cpu/selection/kernels.h"
#include "../cpu/selection/plan.h"
#include "../cpu/selection/principal_storage.h"
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

// Where the time of a selection goes: the kernels one after another on one thread, us a layer.
void printSplit(const NamedIsa& isa, Sequence& sequence, const SegmentIndex& index, const std::vector<float>& q, int group,
                int budget) {
  using namespace selection;
  enum Part { scan, softmax, poolChoice, exactScores, finalChoice, parts };
  const Kernels& kernels = kernelsFor(isa.isa);
  const int kvHeads = sequence.numKvHeads, dim = sequence.headDim, tokens = index.numTokens(), rounds = 20;
  const std::size_t stride = static_cast<std::size_t>(tokens + 16), heads = static_cast<std::size_t>(kvHeads);
  const std::size_t groups = static_cast<std::size_t>(group);
  std::vector<float> scores(stride * groups), values(stride * heads), poolScores(stride * groups), poolValues(values);
  std::vector<std::int32_t> pool(stride * heads), work(stride), counts(heads, tokens), poolCounts(heads);
  std::vector<const std::int32_t*> none(heads, nullptr), poolRows;
  for (std::size_t head = 0; head < heads; ++head) poolRows.push_back(pool.data() + head * stride);
  std::vector<Cut> cuts(heads);
  std::unique_ptr<std::byte, decltype(&std::free)> memory(
      static_cast<std::byte*>(std::aligned_alloc(64, scanWorkBytes(dim, kChunkBlocks * kBlockTokens))), &std::free);
  const std::vector<SegmentBlock>& blocks = index.blocks();
  const int numBlocks = static_cast<int>(blocks.size());
  const std::vector<float> factors(groups, 1.0f / static_cast<float>(tokens));
  const auto softmaxOf = [&](float* rows, int count, float* out) {
    for (std::size_t g = 0; g < groups; ++g) kernels.powers(rows + g * stride, count, kernels.maximum(rows + g * stride, count));
    kernels.values(rows, stride, group, factors.data(), 1, count, out);
  };
  double best[parts];
  std::fill_n(best, static_cast<int>(parts), 1e9);
  for (int round = 0; round < rounds; ++round) {
    double times[parts] = {};
    for (int layer = 0; layer < sequence.numLayers; ++layer) {
      double last = nowUs();
      const auto lap = [&](Part part) {
        const double now = nowUs();
        times[part] += now - last;
        last = now;
      };
      for (int head = 0; head < kvHeads; ++head) {
        const Queries queries = {q.data() + head * group * dim, group, 0.125f * kLog2E};
        for (int first = 0; first < numBlocks; first += kChunkBlocks) {
          const int count = std::min(kChunkBlocks, numBlocks - first), segment = blocks[static_cast<std::size_t>(first)].segment;
          const int numSegments = blocks[static_cast<std::size_t>(first + count - 1)].segment - segment + 1;
          const SegmentBlock* some = blocks.data() + first;
          if (index.shape().basis == CodeBasis::principal) {
            kernels.principalScan({principalOf(index).head(layer, head), dim, 2, 16, some, index.places() + some->token, count,
                                   queries, memory.get(), scores.data(), stride});
            continue;
          }
          const ChannelStorage::View view = channelsOf(index).head(layer, head);
          kernels.scan({{view.stats, nullptr, segment, numSegments, dim, 16}, view.codes, view.planeBytes, 2, some, count,
                        numBlocks - first - count, queries, memory.get(), scores.data(), stride});
        }
        lap(scan);
        softmaxOf(scores.data(), tokens, values.data() + static_cast<std::size_t>(head) * stride);
        lap(softmax);
      }
      const std::vector<int> pooled(heads, 2 * budget), wanted(heads, budget);
      const ValueRows rows = {values.data(), stride, none.data(), counts.data(), counts.data(), kvHeads};
      cutRows(kernels, rows, pooled.data(), true, work.data(), cuts.data());
      for (int head = 0; head < kvHeads; ++head)
        poolCounts[static_cast<std::size_t>(head)] =
            keptTokens(kernels, rows, head, cuts[static_cast<std::size_t>(head)], work.data(), pool.data() + static_cast<std::size_t>(head) * stride);
      lap(poolChoice);
      for (int head = 0; head < kvHeads; ++head) {
        const std::size_t h = static_cast<std::size_t>(head);
        kernels.score({headKeys(sequence.kv, layer, head, sequence.pages.data()), nullptr, poolRows[h], 0, poolCounts[h],
                       {q.data() + head * group * dim, group, 0.125f * kLog2E}, poolScores.data(), stride});
        lap(exactScores);
        softmaxOf(poolScores.data(), poolCounts[h], poolValues.data() + h * stride);
        lap(finalChoice);
      }
      const ValueRows chosen = {poolValues.data(), stride, poolRows.data(), poolCounts.data(), poolCounts.data(), kvHeads};
      cutRows(kernels, chosen, wanted.data(), true, work.data(), cuts.data());
      for (int head = 0; head < kvHeads; ++head)
        keptTokens(kernels, chosen, head, cuts[static_cast<std::size_t>(head)], work.data(), work.data());
      lap(finalChoice);
    }
    for (int part = 0; part < parts; ++part) best[part] = std::min(best[part], times[part] / sequence.numLayers);
  }
  std::printf("%-7s one thread, best: scan %.1f, softmax %.1f, pool choice %.1f, exact scores %.1f, final choice %.1f us a layer\n",
              isa.name, best[scan], best[softmax], best[poolChoice], best[exactScores], best[finalChoice]);
}

// How often random choices are proven, and what a proof costs.
void printCertificates(TestContext& context, const char* isa, Sequence& sequence, const SegmentIndex& index,
                       const SelectInput& input, int budget) {
  for (const Certify certify : {Certify::report, Certify::extend}) {
    SegmentRule rule;
    rule.budget = {budget, 4, 16, true};
    rule.certify = certify;
    SegmentSelector selector(index, rule);
    ChosenRuns out;
    for (int layer = 0; layer < sequence.numLayers; ++layer) {
      SelectInput at = input;
      at.layer = layer;
      selector.select(context, at, out);
    }
    const double heads = selector.counts.calls * sequence.numKvHeads;
    std::printf("%-7s certify %s: %.1f %% of heads proven, %.0f keys read a head\n", isa,
                certify == Certify::report ? "report" : "extend", 100 * selector.counts.certified / heads,
                selector.counts.pooled / heads);
  }
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
    const struct {
      CodeBasis basis;
      int bits;
      const char* name;
    } kinds[] = {{CodeBasis::principal, 2, "principal"}, {CodeBasis::principal, 1, "principal"}, {CodeBasis::channels, 2, "channels"}};
    for (const auto& [basis, bits, name] : kinds) {
      SegmentIndex index({layers, kvHeads, dim, bits, 16, basis});
      const double start = nowUs();
      index.extend(context, sequence.kv, sequence.pages.data(), ends.data(), static_cast<int>(ends.size()));
      std::printf("%-7s %s, %d bits, index of %d tokens in %zu segments: %.2f ms, %.2f %% of float16 KV\n", isa.name, name, bits,
                  index.numTokens(), ends.size(), (nowUs() - start) / 1e3,
                  100.0 * static_cast<double>(index.bytes()) / (index.numTokens() * 256.0 * layers * kvHeads));
      if (bits == 2) {
        printSplit(isa, sequence, index, q, group, budget);
        printCertificates(context, isa.name, sequence, index,
                          {sequence.kv, 0, q.data(), kvHeads * group, 0.125f, tokens, sequence.pages.data()}, budget);
      }
      for (const double poolFactor : {2.0, 1.25, 0.0}) {
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
            "%-7s %s, %d bits, pool %g x %d: %.1f us a layer (best %.1f; CPU %.1f, best %.1f), %d workers, %.0f pooled, %zu "
            "runs\n",
            isa.name, name, bits, poolFactor, budget, median(times), *std::min_element(times.begin(), times.end()),
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
