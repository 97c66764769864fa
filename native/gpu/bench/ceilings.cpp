// Facts of the device, and its ceilings: what every other number of the run is a ratio to.
#include <chrono>
#include <string>

#include "bench.h"
#include "cublas.h"

namespace kvasir::gpu::bench {

void steps::facts(Bench& bench) {
  const KvasirDeviceInfo& info = bench.gpu.info();
  bench.rows.fact("library", bench.gpu.table().kind);
  bench.rows.fact("device", info.name);
  bench.rows.fact("compute capability", std::to_string(info.major) + "." + std::to_string(info.minor));
  bench.rows.fact("multiprocessors", info.multiprocessors);
  bench.rows.fact("shared KiB a block", info.sharedBytesPerBlock / 1024.0);
  bench.rows.fact("memory GiB", static_cast<double>(info.memoryBytes) / (1u << 30));
  bench.rows.fact("free GiB", static_cast<double>(bench.gpu.freeBytes()) / (1u << 30));
}

namespace {

void rate(Bench& bench, const std::string& name, const Job& job, const std::string& unit, double scale) {
  bench.rows.ceiling(name, measure(bench.gpu, job, nullptr, bench.pace).rate / scale, unit);
}

Job emptyLaunch(const Gpu& gpu, bool captured) {
  const KvasirRoofProbeArgs args{KVASIR_ROOF_EMPTY, 1, nullptr, 0, 0, nullptr};
  Job job{[&gpu, args](KvasirStream* stream, int) { gpu.check(gpu.table().roofProbe(stream, &args), "roofProbe"); }, 1, 1};
  job.captured = captured;
  return job;
}

// From the host's call to its answer: what a step that is one graph pays at least.
double roundTripMicros(Bench& bench, const Graph& graph) {
  std::vector<double> micros;
  for (int i = 0; i < (bench.tiny ? 3 : 101); ++i) {
    const auto start = std::chrono::steady_clock::now();
    graph.replay(bench.gpu.stream());
    bench.gpu.synchronize();
    micros.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count());
  }
  return spreadOf(micros).median;
}

}  // namespace

void steps::ceilings(Bench& bench) {
  const Gpu& gpu = bench.gpu;
  rate(bench, "copy", bench.roofs.copy(), "GB/s", 1e9);
  rate(bench, "read", bench.roofs.read(), "GB/s", 1e9);
  rate(bench, "multiply", bench.roofs.multiply(), "TFLOP/s", 1e12);
  bench.rows.ceiling("empty launch", measure(gpu, emptyLaunch(gpu, false), nullptr, bench.pace).micros.median, "us");
  bench.rows.ceiling("empty launch in a graph", measure(gpu, emptyLaunch(gpu, true), nullptr, bench.pace).micros.median, "us");
  const Job empty = emptyLaunch(gpu, true);
  bench.rows.ceiling("graph of one, there and back", roundTripMicros(bench, Graph(gpu, 1, empty.work)), "us");
  rate(bench, "host to device", bench.roofs.toDevice(), "GB/s", 1e9);
  rate(bench, "device to host", bench.roofs.toHost(), "GB/s", 1e9);
  for (const int blocks : {1, 2, 4, 8, 16}) {
    rate(bench, "zero-copy read, blocks " + std::to_string(blocks), bench.roofs.zeroCopy(blocks), "GB/s", 1e9);
  }
  std::string why;
  const double product = cublasFlopASecond(gpu, bench.tiny ? 64 : 8192, why);
  if (product > 0) bench.rows.ceiling("cuBLAS 8192 x 8192 x 8192 f16", product / 1e12, "TFLOP/s");
  else bench.rows.notRun("ceiling", "cuBLAS 8192 x 8192 x 8192 f16", why);
}

}  // namespace kvasir::gpu::bench
