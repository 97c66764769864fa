// Decode attention of a tiered arena beside a plain one, in turns: microseconds a layer at 256 rows a head, where about
// a third of the rows change from step to step and few of their pages do. Usage: tier_bench [steps] [folder]
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>

#include "../tier/tiered_arena.h"
#include "attention_cache.h"
#include "attention_check.h"
#include "test_context.h"

using namespace kvasir;
using namespace kvasir::test;
using namespace kvasir::tier;

namespace {

constexpr int kLayers = 30, kKvHeads = 3, kGroup = 3, kHeadDim = 64, kTokens = 4096, kBudget = 256;
constexpr int kPagesRead = 64, kPagesNear = 120;

// The rows that the heads of a layer read, step by step.
class Lists {
 public:
  explicit Lists(Random& random) : random_(random), heads_(kKvHeads) {
    for (Head& head : heads_) {
      while (head.near.size() < kPagesNear) head.near.push_back(drawInt(random, 0, kTokens / kPageTokens - 1));
      head.rows.resize(kBudget);
      for (int& row : head.rows) row = draw(head);
    }
  }

  void step() {
    rowStarts.assign(1, 0);
    runs.clear();
    for (Head& head : heads_) {
      for (int i = drawInt(random_, 0, 2); i > 0; --i) {
        head.near[static_cast<std::size_t>(drawInt(random_, 0, kPagesNear - 1))] =
            drawInt(random_, 0, kTokens / kPageTokens - 1);
      }
      for (int& row : head.rows) {
        if (drawInt(random_, 0, 99) < 35) row = draw(head);
      }
      std::vector<int> sorted = head.rows;
      std::sort(sorted.begin(), sorted.end());
      sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
      for (int row : sorted) {
        const bool joins = static_cast<int>(runs.size()) > rowStarts.back() && row % kPageTokens != 0 &&
                           runs.back().page * kPageTokens + runs.back().first + runs.back().len == row;
        if (joins) ++runs.back().len;
        else runs.push_back({row / kPageTokens, row % kPageTokens, 1});
      }
      rowStarts.push_back(static_cast<std::int32_t>(runs.size()));
    }
  }

  std::vector<std::int32_t> rowStarts;
  std::vector<KvRun> runs;

 private:
  struct Head {
    std::vector<int> near, rows;
  };

  int draw(const Head& head) {
    return head.near[static_cast<std::size_t>(drawInt(random_, 0, kPagesRead - 1))] * kPageTokens +
           drawInt(random_, 0, kPageTokens - 1);
  }

  Random& random_;
  std::vector<Head> heads_;
};

void fill(Context& context, Random& random, Arena& arena, const std::vector<std::int32_t>& pages) {
  std::vector<std::int32_t> slots;
  for (int index = 0; index < kTokens; ++index) {
    slots.push_back(pages[static_cast<std::size_t>(index / kPageTokens)] * kPageTokens + index % kPageTokens);
  }
  const std::vector<float> rows = drawNormal(random, static_cast<std::size_t>(kTokens * kKvHeads * kHeadDim));
  for (int layer = 0; layer < kLayers; ++layer) {
    arena.write(context, layer, rows.data(), rows.data(), slots.data(), kTokens);
  }
}

// Of this thread: a busy machine lengthens the other kind.
double cpuMicroseconds() {
  timespec now;
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void compare(const char* name, Context& context, const ArenaShape& shape, const TierOptions& options, int steps) {
  Random random(1);
  std::vector<std::int32_t> pages;
  for (int page = 0; page < kTokens / kPageTokens; ++page) pages.push_back(page);
  std::shuffle(pages.begin(), pages.end(), random);
  PlainArena plain(shape);
  TieredArena tiered(shape, options);
  fill(context, random, plain, pages);
  fill(context, random, tiered, pages);
  const std::int32_t tokens[] = {kTokens}, pageStarts[] = {0, kTokens / kPageTokens};
  const Batch batch{1, nullptr, tokens, pageStarts, pages.data()};
  const std::vector<float> q = drawNormal(random, kKvHeads * kGroup * kHeadDim);
  std::vector<float> out(q.size());
  std::vector<Lists> lists(kLayers, Lists(random));

  std::vector<double> plainUs, tieredUs, tieredCpuUs, ratios;
  double cpuUs = 0;
  TierCounts before;
  for (int step = 0; step < steps; ++step) {
    for (Lists& list : lists) list.step();
    const auto run = [&](Arena& arena) {
      const auto start = std::chrono::steady_clock::now();
      const double cpuStart = cpuMicroseconds();
      for (int layer = 0; layer < kLayers; ++layer) {
        const Lists& list = lists[static_cast<std::size_t>(layer)];
        const ListedRows rows =
            arena.listedRows(context, layer, batch, {list.rowStarts.data(), list.runs.data()}, kKvHeads);
        attendRuns(context, rows.view, layer, q.data(), kKvHeads * kGroup, 0.125f, batch, rows.rows, out.data(),
                   nullptr);
      }
      cpuUs = (cpuMicroseconds() - cpuStart) / kLayers;
      return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count() / kLayers;
    };
    // The first steps find nothing hot.
    if (step == 10) before = tiered.counts();
    run(plain);
    const double ofPlain = cpuUs, ofTiered = run(tiered);
    if (step < 10) continue;
    plainUs.push_back(ofPlain);
    tieredUs.push_back(ofTiered);
    tieredCpuUs.push_back(cpuUs);
    ratios.push_back(cpuUs / ofPlain);
  }
  const TierCounts after = tiered.counts();
  const double hits = after.hits - before.hits, misses = after.misses - before.misses, done = steps - 10;
  std::printf(
      "%-22s CPU us a layer: plain %5.1f, tiered %5.1f, ratio %.2f; tiered by the clock %6.1f; hits %.3f, %.2f MB up a "
      "step, %.1f of %.1f MB hot\n",
      name, median(plainUs), median(tieredCpuUs), median(ratios), median(tieredUs), hits / (hits + misses),
      (after.movedBytes - before.movedBytes) / done / 1e6, after.hotBytes / 1e6,
      static_cast<double>(shape.tileBytes()) * kLayers * kTokens / kPageTokens / 1e6);
}

}  // namespace

int main(int argc, char** argv) {
  const int steps = argc > 1 ? std::max(11, std::atoi(argv[1])) : 40;
  const std::string folder = argc > 2 ? argv[2] : "/tmp";
  TestContext context(availableIsas().back().isa, 1);
  const ArenaShape shape{kLayers, kKvHeads, kHeadDim, kTokens / kPageTokens, KvType::f16};
  const double rowBytes = HotRows::bytesFor(shape, false, kKvHeads * 2 * kBudget) * kLayers;
  const double blockBytes = HotRows::bytesFor(shape, true, kKvHeads * 2 * kPagesRead) * kLayers;
  compare("host f16, rows", context, shape, {LowerType::f16, false, false, false, rowBytes, {}, 0, false}, steps);
  compare("host q8, rows", context, shape, {LowerType::q8, false, false, false, rowBytes, {}, 0, false}, steps);
  for (const bool direct : {false, true}) {
    for (const LowerType type : {LowerType::f16, LowerType::q8}) {
      const std::string path = folder + "/kvasir-tier-bench-" + std::to_string(::getpid());
      for (const bool ring : {false, true}) {
        const std::string name = std::string("file ") + (type == LowerType::f16 ? "f16" : "q8") +
                                 (direct ? ", direct" : "") + (ring ? ", ring" : "");
        compare(name.c_str(), context, shape, {type, true, false, false, blockBytes, FileOptions{path, direct}, 4, ring},
                steps);
      }
    }
  }
}
