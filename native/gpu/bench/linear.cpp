// linear: products with weights of a model of 8 B parameters, for one row and for many.
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include "bench.h"
#include "pages.h"
#include "weights.h"

namespace kvasir::gpu::bench {

namespace {

struct Case {
  const char* name;
  int cols;
  std::vector<int> parts;  // rows of the matrices that share the input
};

void runCase(Bench& bench, const Case& c, int type, int rows) {
  const bool decode = rows <= 8;
  const std::string shape = std::string(c.name) + ", " + weightName(type) + ", " + std::to_string(rows) + (rows == 1 ? " row" : " rows");
  if (bench.late("linear", shape)) return;
  const Gpu& gpu = bench.gpu;
  int outCols = 0;
  for (const int part : c.parts) outCols += part;
  // One row reads the weights once and little else: sets of them, more than the cache holds.
  std::vector<std::vector<Weights>> sets(1);
  for (const int part : c.parts) sets[0].emplace_back(gpu, type, part, c.cols);
  double weightBytes = 0;
  for (const Weights& weights : sets[0]) weightBytes += static_cast<double>(weights.bytes());
  const int turns = bench.tiny || !decode ? 1 : std::clamp(static_cast<int>(std::ceil(512e6 / weightBytes)), 1, 32);
  while (static_cast<int>(sets.size()) < turns) {
    sets.emplace_back();
    for (const int part : c.parts) sets.back().emplace_back(gpu, type, part, c.cols);
  }
  const Memory x = upload(gpu, randomFloats(static_cast<std::size_t>(rows) * static_cast<std::size_t>(c.cols)));
  const std::size_t outCount = static_cast<std::size_t>(rows) * static_cast<std::size_t>(outCols);
  const Memory out = Memory::onDevice(gpu, outCount * sizeof(float));
  gpu.check(gpu.table().fill(gpu.stream(), out.device(), 0xFF, out.bytes()), "fill");
  const Prepared prepared(gpu, rows, c.cols);
  const Job job{[&](KvasirStream* stream, int turn) {
                  KvasirLinearArgs args{};
                  args.x = x.device<float>();
                  args.xStride = static_cast<std::size_t>(c.cols);
                  args.rows = rows;
                  args.numParts = static_cast<int32_t>(c.parts.size());
                  std::size_t at = 0;
                  for (std::size_t i = 0; i < c.parts.size(); ++i) {
                    args.parts[i] = {sets[static_cast<std::size_t>(turn)][i].weight, nullptr, out.device<float>(at * sizeof(float)),
                                     static_cast<std::size_t>(outCols), 0};
                    at += static_cast<std::size_t>(c.parts[i]);
                  }
                  args.path = decode ? KVASIR_LINEAR_DECODE : KVASIR_LINEAR_PREFILL;
                  args.mode = KVASIR_LINEAR_FAST;
                  args.prepared = prepared.rows;
                  gpu.check(gpu.table().linear(stream, &args), "linear");
                },
                decode ? weightBytes : 2.0 * rows * outCols * c.cols, turns};
  job.work(gpu.stream(), 0);
  for (const float value : download<float>(gpu, out.device(), outCount)) {
    if (std::isnan(value)) return bench.rows.wrong("linear", shape, "a value was not written, or is NaN");
  }
  if (decode) bench.rows.timing("linear", shape, measure(gpu, job, &bench.roofs.read(), bench.pace), "GB/s", "read");
  else bench.rows.timing("linear", shape, measure(gpu, job, &bench.roofs.multiply(), bench.pace), "TFLOP/s", "multiply");
}

}  // namespace

void steps::linear(Bench& bench) {
  std::vector<Case> cases = {{"q, k, v of 4096", 4096, {4096, 1024, 1024}},
                             {"gate, up of 4096", 4096, {14336, 14336}},
                             {"down of 14336", 14336, {4096}}};
  std::vector<int> rows = {1, 8, 512, 4096};
  if (bench.tiny) {
    cases = {{"three of 64", 64, {32, 16, 16}}};
    rows = {1, 16};
  }
  for (const Case& c : cases) {
    for (const int type : {KVASIR_WEIGHT_F16, KVASIR_WEIGHT_Q8_0, KVASIR_WEIGHT_Q4_0, KVASIR_WEIGHT_Q4_K}) {
      if (bench.tiny && type == KVASIR_WEIGHT_Q4_K) continue;  // blocks of 256 columns
      for (const int count : rows) runCase(bench, c, type, count);
    }
  }
}

}  // namespace kvasir::gpu::bench
