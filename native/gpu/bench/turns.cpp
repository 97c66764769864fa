// turnRows: rows of a layer to other slots, K turned or as it is.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "bench.h"
#include "pages.h"

namespace kvasir::gpu::bench {

namespace {

struct Case {
  ModelShape model;
  int rows;
  bool turned;
  bool scattered;  // rows from random slots; else in order
};

// Row 0 of KV head 0 against the same rotation in double precision; V to the bit.
bool right(const PagePool& pool, std::int32_t from, std::int32_t to, const Case& c, const std::vector<float>& cos,
           const std::vector<float>& sin) {
  const std::vector<double> before = pool.row(from / 16, 0, 0, from % 16), after = pool.row(to / 16, 0, 0, to % 16);
  const std::size_t half = before.size() / 2;
  for (std::size_t i = 0; i < half; ++i) {
    const double cs = c.turned ? cos[i] : 1.0, sn = c.turned ? sin[i] : 0.0;
    const double first = before[i] * cs - before[i + half] * sn, second = before[i + half] * cs + before[i] * sn;
    if (std::fabs(after[i] - first) > 2e-3 || std::fabs(after[i + half] - second) > 2e-3) return false;
  }
  return pool.row(from / 16, 0, 1, from % 16) == pool.row(to / 16, 0, 1, to % 16);
}

void runCase(Bench& bench, const Case& c) {
  const Gpu& gpu = bench.gpu;
  const std::string shape = c.model.text() + ", " + std::to_string(c.rows) + " rows" + (c.turned ? ", turned" : ", copied") +
                            (c.scattered ? ", from anywhere" : ", in order");
  if (bench.late("turnRows", shape)) return;
  // Half of the pool is read, the other half written, a part of each at every turn.
  const int pages = c.rows / KVASIR_PAGE_TOKENS;
  const double bytes = 2.0 * static_cast<double>(PagePool::pageBytes(c.model)) * pages;
  const int turns = bench.tiny ? 2 : std::max(2, static_cast<int>(std::ceil(512e6 / bytes)));
  const PagePool pool(gpu, c.model, 2 * turns * pages);
  std::vector<std::int32_t> from(static_cast<std::size_t>(turns * c.rows)), to(from.size());
  std::iota(from.begin(), from.end(), 0);
  std::iota(to.begin(), to.end(), turns * c.rows);
  if (c.scattered) {
    std::mt19937 random(3);
    std::shuffle(from.begin(), from.end(), random);
  }
  const std::size_t half = static_cast<std::size_t>(c.model.headDim / 2);
  std::vector<float> cos, sin;
  for (std::size_t i = 0; i < half; ++i) {
    const double angle = 37.0 * std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(half));
    cos.push_back(static_cast<float>(std::cos(angle)));
    sin.push_back(static_cast<float>(std::sin(angle)));
  }
  const std::vector<std::int32_t> one(static_cast<std::size_t>(c.rows), 0);  // all rows by the one turn: a run that is shifted
  const Memory fromSlots = upload(gpu, from), toSlots = upload(gpu, to), cosines = upload(gpu, cos), sines = upload(gpu, sin),
               rowTurns = upload(gpu, one);
  const Job job{[&](KvasirStream* stream, int turn) {
                  const std::size_t at = static_cast<std::size_t>(turn) * static_cast<std::size_t>(c.rows) * sizeof(std::int32_t);
                  KvasirTurnRowsArgs args{};
                  args.from = {pool.view(), 0, fromSlots.device<std::int32_t>(at)};
                  args.to = {pool.view(), 0, toSlots.device<std::int32_t>(at)};
                  args.rows = c.rows;
                  args.cos = cosines.device<float>();
                  args.sin = sines.device<float>();
                  args.rowTurns = c.turned ? rowTurns.device<std::int32_t>() : nullptr;
                  args.pairing = KVASIR_PAIRS_HALF;
                  args.rotaryDim = c.model.headDim;
                  gpu.check(gpu.table().turnRows(stream, &args), "turnRows");
                },
                bytes, turns};
  job.work(gpu.stream(), 0);
  gpu.synchronize();
  if (!right(pool, from[0], to[0], c, cos, sin)) return bench.rows.wrong("turnRows", shape, "a row differs");
  const Target target{0.80, 0.92};
  bench.rows.timing("turnRows", shape, measure(gpu, job, &bench.roofs.copy(), bench.pace), "GB/s", "copy", &target);
}

}  // namespace

void steps::turns(Bench& bench) {
  const std::vector<ModelShape> models = {{32, 8, 128}, {9, 3, 64}};
  const std::vector<int> sizes = bench.tiny ? std::vector<int>{32} : std::vector<int>{1024, 8192, 65536};
  for (const ModelShape& model : models) {
    for (const int rows : sizes) {
      for (const bool turned : {false, true}) {
        for (const bool scattered : {false, true}) runCase(bench, {model, rows, turned, scattered});
      }
    }
  }
}

}  // namespace kvasir::gpu::bench
