// Matching of prompts: codes of rows, the nearest codes, the nearest rows by products.
#include <algorithm>
#include <cmath>
#include <random>
#include <string>

#include "bench.h"
#include "pages.h"

namespace kvasir::gpu::bench {

namespace {

std::vector<float> normalFloats(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

void codes(Bench& bench, int rows, int dim, int bits) {
  const std::string shape = std::to_string(rows) + " x " + std::to_string(dim) + " to " + std::to_string(bits) + " bits";
  if (bench.late("hashRows", shape)) return;
  const Gpu& gpu = bench.gpu;
  const std::size_t values = static_cast<std::size_t>(rows) * static_cast<std::size_t>(dim);
  const Memory x = upload(gpu, normalFloats(values, 1)), panels = upload(gpu, normalFloats(static_cast<std::size_t>(bits * dim), 2));
  const Memory out = Memory::onDevice(gpu, static_cast<std::size_t>(rows) * static_cast<std::size_t>(bits / 8));
  const KvasirHashRowsArgs args{KVASIR_HASH_SIGNS, bits, dim, panels.device<float>(), nullptr, 1, x.device<float>(), rows, out.device()};
  const Job job{[&gpu, args](KvasirStream* stream, int) { gpu.check(gpu.table().hashRows(stream, &args), "hashRows"); },
                static_cast<double>(values) * sizeof(float), 1};
  bench.rows.timing("hashRows", shape, measure(gpu, job, &bench.roofs.read(), bench.pace), "GB/s", "read");
}

// A query that is a row of the table finds it, at distance 0.
void nearestOfCodes(Bench& bench, int rows, int queries, int bits, int count) {
  const std::string shape = std::to_string(queries) + " in " + std::to_string(rows) + ", " + std::to_string(bits) + " bits, best " +
                            std::to_string(count);
  if (bench.late("nearestCodes", shape)) return;
  const Gpu& gpu = bench.gpu;
  const std::size_t codeBytes = static_cast<std::size_t>(bits / 8);
  std::mt19937 random(3);
  std::vector<std::uint8_t> table(static_cast<std::size_t>(rows) * codeBytes), wanted;
  for (std::uint8_t& byte : table) byte = static_cast<std::uint8_t>(random() >> 24);
  for (int i = 0; i < queries; ++i) {
    const std::size_t row = static_cast<std::size_t>(i) * 7919 % static_cast<std::size_t>(rows);
    wanted.insert(wanted.end(), &table[row * codeBytes], &table[row * codeBytes] + codeBytes);
  }
  const Memory tableMemory = upload(gpu, table), queryMemory = upload(gpu, wanted);
  const std::size_t answers = static_cast<std::size_t>(queries) * static_cast<std::size_t>(count);
  const Memory indices = Memory::onDevice(gpu, answers * 4), distances = Memory::onDevice(gpu, answers * 4);
  const std::size_t workspaceBytes = kvasirNearestCodesBytes(rows, queries, count);
  const Memory workspace = Memory::onDevice(gpu, workspaceBytes);
  const KvasirNearestCodesArgs args{KVASIR_DISTANCE_HAMMING, bits / 64, tableMemory.device(), rows, queryMemory.device(), queries, count, bits,
                                    indices.device<int32_t>(), distances.device<int32_t>(), workspace.device(), workspaceBytes};
  const Job job{[&gpu, args](KvasirStream* stream, int) { gpu.check(gpu.table().nearestCodes(stream, &args), "nearestCodes"); },
                static_cast<double>(rows) * queries, 1};
  job.work(gpu.stream(), 0);
  const std::vector<std::int32_t> found = download<std::int32_t>(gpu, distances.device(), answers);
  for (std::size_t i = 0; i < answers; i += static_cast<std::size_t>(count)) {
    if (found[i] != 0) return bench.rows.wrong("nearestCodes", shape, "a row of the table was not found");
  }
  bench.rows.timing("nearestCodes", shape, measure(gpu, job, nullptr, bench.pace), "Gpair/s", "");
}

using RankedRows = decltype(KvasirNearestRowsArgs::rows);

RankedRows prepare(const Gpu& gpu, const Memory& x, int rows, int dim, const Memory& halves, const Memory& lengths) {
  const KvasirPrepareRowsArgs args{x.device<float>(), rows, dim, halves.device<std::uint16_t>(), lengths.device<float>()};
  gpu.check(gpu.table().prepareRows(gpu.stream(), &args), "prepareRows");
  return {x.device<float>(), halves.device<std::uint16_t>(), lengths.device<float>(), rows};
}

void nearestByProducts(Bench& bench, int rows, int queries, int dim) {
  const std::string shape = std::to_string(queries) + " in " + std::to_string(rows) + " x " + std::to_string(dim);
  if (bench.late("nearestRows", shape)) return;
  const Gpu& gpu = bench.gpu;
  std::vector<float> table = normalFloats(static_cast<std::size_t>(rows) * static_cast<std::size_t>(dim), 4), wanted;
  std::vector<std::int32_t> origin;
  const std::vector<float> noise = normalFloats(static_cast<std::size_t>(queries) * static_cast<std::size_t>(dim), 5);
  for (int i = 0; i < queries; ++i) {
    origin.push_back(static_cast<std::int32_t>(static_cast<long long>(i) * 7919 % rows));
    for (int k = 0; k < dim; ++k) {
      wanted.push_back(table[static_cast<std::size_t>(origin.back() * dim + k)] + 0.3f * noise[static_cast<std::size_t>(i * dim + k)]);
    }
  }
  const std::size_t padded = static_cast<std::size_t>(KVASIR_PADDED_DIM(dim)) * 2;
  const Memory tableMemory = upload(gpu, table), queryMemory = upload(gpu, wanted),
               tableHalves = Memory::onDevice(gpu, static_cast<std::size_t>(rows) * padded),
               queryHalves = Memory::onDevice(gpu, static_cast<std::size_t>(queries) * padded),
               tableLengths = Memory::onDevice(gpu, static_cast<std::size_t>(rows) * 4),
               queryLengths = Memory::onDevice(gpu, static_cast<std::size_t>(queries) * 4),
               indices = Memory::onDevice(gpu, static_cast<std::size_t>(queries) * 4),
               values = Memory::onDevice(gpu, static_cast<std::size_t>(queries) * 4);
  const std::size_t workspaceBytes = kvasirNearestRowsBytes(rows, queries);
  const Memory workspace = Memory::onDevice(gpu, workspaceBytes);
  KvasirNearestRowsArgs args{};
  args.metric = KVASIR_METRIC_L2;
  args.dim = dim;
  args.queries = prepare(gpu, queryMemory, queries, dim, queryHalves, queryLengths);
  args.rows = prepare(gpu, tableMemory, rows, dim, tableHalves, tableLengths);
  args.threshold = INFINITY;
  args.indices = indices.device<int32_t>();
  args.values = values.device<float>();
  args.workspace = workspace.device();
  args.workspaceBytes = workspaceBytes;
  const Job job{[&gpu, args](KvasirStream* stream, int) { gpu.check(gpu.table().nearestRows(stream, &args), "nearestRows"); },
                2.0 * rows * queries * dim, 1};
  job.work(gpu.stream(), 0);
  if (download<std::int32_t>(gpu, indices.device(), static_cast<std::size_t>(queries)) != origin) {
    return bench.rows.wrong("nearestRows", shape, "a row that was planted was not found");
  }
  bench.rows.timing("nearestRows", shape, measure(gpu, job, &bench.roofs.multiply(), bench.pace), "TFLOP/s", "multiply");
}

}  // namespace

void steps::matching(Bench& bench) {
  const int rows = bench.tiny ? 64 : 5120, dim = bench.tiny ? 64 : 576;
  codes(bench, rows, dim, 256);
  for (const int count : bench.tiny ? std::vector<int>{1} : std::vector<int>{1, 16}) nearestOfCodes(bench, rows, rows, 256, count);
  if (!bench.tiny) nearestOfCodes(bench, 1000000, 64, 256, 16);
  nearestByProducts(bench, rows, rows, dim);
}

}  // namespace kvasir::gpu::bench
