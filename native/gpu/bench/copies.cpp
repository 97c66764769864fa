// Pieces over the link and within the device, by a kernel and by the copy engines: which is better from which size on.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <string>

#include "bench.h"

namespace kvasir::gpu::bench {

namespace {

constexpr std::size_t kKiB = 1024, kMiB = 1024 * kKiB, kFewPieces = 64;

std::string bytesText(std::size_t bytes) {
  if (bytes >= kMiB) return std::to_string(bytes / kMiB) + " MiB";
  return bytes >= kKiB ? std::to_string(bytes / kKiB) + " KiB" : std::to_string(bytes) + " B";
}

enum class Way { toDevice, toHost, within };

// A slab on either side, and which piece of the source goes to which place of the target.
struct Pieces {
  const Memory& from;
  const Memory& to;
  std::size_t pieceBytes;
  std::vector<std::int32_t> order;  // target piece i comes from source piece order[i]
};

std::vector<std::int32_t> shuffled(std::size_t count, std::size_t below) {
  std::vector<std::int32_t> all(below);
  std::iota(all.begin(), all.end(), 0);
  std::mt19937 random(11);
  std::shuffle(all.begin(), all.end(), random);
  all.resize(count);
  return all;
}

const void* source(const Pieces& pieces, std::size_t i, bool kernel) {
  const std::size_t at = static_cast<std::size_t>(pieces.order[i]) * pieces.pieceBytes;
  return kernel || pieces.from.host() == nullptr ? pieces.from.device(at) : static_cast<std::uint8_t*>(pieces.from.host()) + at;
}

void* target(const Pieces& pieces, std::size_t i, bool kernel) {
  const std::size_t at = i * pieces.pieceBytes;
  return kernel || pieces.to.host() == nullptr ? pieces.to.device(at) : static_cast<std::uint8_t*>(pieces.to.host()) + at;
}

// `slab` is what the source holds.
bool arrived(const Bench& bench, const Pieces& pieces, const std::vector<std::uint8_t>& slab) {
  const std::size_t size = pieces.pieceBytes, count = pieces.order.size();
  std::vector<std::uint8_t> downloaded;
  if (pieces.to.host() == nullptr) downloaded = download<std::uint8_t>(bench.gpu, pieces.to.device(), count * size);
  bench.gpu.synchronize();
  const auto* to = pieces.to.host() == nullptr ? downloaded.data() : static_cast<const std::uint8_t*>(pieces.to.host());
  for (std::size_t i = 0; i < count; ++i) {
    if (std::memcmp(to + i * size, &slab[static_cast<std::size_t>(pieces.order[i]) * size], size) != 0) return false;
  }
  return true;
}

// Gives the rate, 0 where bytes differ.
double runPieces(Bench& bench, Way way, const Pieces& pieces, const std::vector<std::uint8_t>& slab, const std::string& shape, int maxBlocks,
                 const Target* target_) {
  const Gpu& gpu = bench.gpu;
  const bool kernel = maxBlocks >= 0;
  const std::size_t count = pieces.order.size();
  std::vector<KvasirPiece> list;
  std::vector<KvasirCopy> copies;
  for (std::size_t i = 0; i < count; ++i) {
    list.push_back({source(pieces, i, kernel), target(pieces, i, kernel), pieces.pieceBytes});
    copies.push_back({target(pieces, i, kernel), source(pieces, i, kernel), pieces.pieceBytes});
  }
  const Memory listMemory = upload(gpu, list);
  Job job;
  job.amount = static_cast<double>(count * pieces.pieceBytes) * (way == Way::within ? 2 : 1);
  job.captured = kernel;
  if (kernel) {
    const KvasirCopyPiecesArgs args{listMemory.device<KvasirPiece>(), static_cast<int32_t>(count), pieces.pieceBytes, maxBlocks};
    job.work = [&gpu, args](KvasirStream* stream, int) { gpu.check(gpu.table().copyPieces(stream, &args), "copyPieces"); };
  } else {
    job.work = [&gpu, &copies](KvasirStream* stream, int) {
      gpu.check(gpu.table().copyBatch(stream, copies.data(), copies.size()), "copyBatch");
    };
  }
  gpu.check(gpu.table().fill(gpu.stream(), pieces.to.device(), 0xCD, count * pieces.pieceBytes), "fill");
  job.work(gpu.stream(), 0);
  if (!arrived(bench, pieces, slab)) {
    bench.rows.wrong("copies", shape, "bytes differ");
    return 0;
  }
  const Roofs& roofs = bench.roofs;
  const Job& roof = way == Way::toDevice ? roofs.toDevice() : way == Way::toHost ? roofs.toHost() : roofs.copy();
  const char* name = way == Way::toDevice ? "host to device" : way == Way::toHost ? "device to host" : "copy";
  const Timing timing = measure(gpu, job, &roof, bench.pace);
  bench.rows.timing("copies", shape, timing, "GB/s", name, target_);
  return timing.rate;
}

// The targets of the way to the device: 256 B by the kernel, 4 KiB by the kernel, whole pages by the engines.
const Target* targetOf(Way way, std::size_t bytes, std::size_t count, int maxBlocks) {
  static const Target pages{0.95, 0.98}, runs{0.85, 0.95}, rows{0.40, 0.60};
  if (way != Way::toDevice || count == kFewPieces) return nullptr;
  if (bytes == 2 * kMiB && maxBlocks < 0) return &pages;
  if (bytes == 4 * kKiB && maxBlocks == 4) return &runs;
  return bytes == 256 && maxBlocks == 4 ? &rows : nullptr;
}

void gatherWithin(Bench& bench, const Memory& from, const Memory& to, std::size_t rowBytes) {
  const Gpu& gpu = bench.gpu;
  const std::size_t count = std::min(to.bytes() / rowBytes, std::size_t{1} << 18);
  const Memory ids = upload(gpu, shuffled(count, from.bytes() / rowBytes));
  for (const bool scatters : {false, true}) {
    const std::string shape = std::string(scatters ? "scatterRows " : "gatherRows ") + bytesText(rowBytes) + " x " + std::to_string(count);
    if (bench.late("copies", shape)) return;
    const KvasirGatherRowsArgs gather{from.device(), rowBytes, ids.device<int32_t>(), static_cast<int32_t>(count), to.device(), rowBytes,
                                      rowBytes, 0};
    const KvasirScatterRowsArgs scatter{to.device(), rowBytes, ids.device<int32_t>(), static_cast<int32_t>(count), from.device(),
                                        rowBytes, rowBytes, 0};
    const Job job{[&gpu, gather, scatter, scatters](KvasirStream* stream, int) {
                    if (scatters) gpu.check(gpu.table().scatterRows(stream, &scatter), "scatterRows");
                    else gpu.check(gpu.table().gatherRows(stream, &gather), "gatherRows");
                  },
                  2.0 * static_cast<double>(count * rowBytes), 1};
    bench.rows.timing("copies", shape, measure(gpu, job, &bench.roofs.copy(), bench.pace), "GB/s", "copy");
  }
}

// Copies of one way and count by the size of their pieces: the table, and from which size on the engines are the faster ones.
void runSizes(Bench& bench, Way way, const Memory& from, const Memory& to, const std::vector<std::uint8_t>& slab, bool few) {
  const std::string name = way == Way::toDevice ? "to device" : way == Way::toHost ? "to host" : "within";
  std::vector<std::size_t> sizes = {256, kKiB, 4 * kKiB, 16 * kKiB, 32 * kKiB, 64 * kKiB, 256 * kKiB, 2 * kMiB};
  if (bench.tiny) sizes = {256, 4 * kKiB};
  double overtaken = INFINITY;
  for (const std::size_t bytes : sizes) {
    const std::size_t most = std::min({slab.size() / bytes / 2, 64 * kMiB / bytes, std::size_t{1} << 16});
    if (few && most <= kFewPieces) break;
    const std::size_t count = few ? kFewPieces : most;
    const Pieces pieces{from, to, bytes, shuffled(count, slab.size() / bytes)};
    double kernel = 0, engines = 0;
    for (const int maxBlocks : {4, 16, 0, -1}) {  // -1: the copy engines
      if (maxBlocks == 0 && way != Way::within) continue;
      const std::string how = maxBlocks < 0 ? "engines" : maxBlocks == 0 ? "kernel" : "kernel of " + std::to_string(maxBlocks);
      const std::string shape = name + ", " + bytesText(bytes) + " x " + std::to_string(count) + ", " + how;
      if (bench.late("copies", shape)) return;
      double& best = maxBlocks < 0 ? engines : kernel;
      best = std::max(best, runPieces(bench, way, pieces, slab, shape, maxBlocks, targetOf(way, bytes, count, maxBlocks)));
    }
    if (engines <= kernel) overtaken = INFINITY;
    else if (!std::isfinite(overtaken)) overtaken = static_cast<double>(bytes) / kKiB;
  }
  const std::string shape = name + (few ? ", few pieces" : "") + ", engines are faster from";
  if (std::isfinite(overtaken)) bench.rows.value("copies", shape, overtaken, "KiB a piece");
  else bench.rows.notRun("copies", shape, "at no size");
}

}  // namespace

void steps::copies(Bench& bench) {
  const Gpu& gpu = bench.gpu;
  const std::size_t slabBytes = bench.tiny ? 64 * kKiB : 256 * kMiB;
  const Memory device = Memory::onDevice(gpu, slabBytes), second = Memory::onDevice(gpu, slabBytes), host = Memory::onHost(gpu, slabBytes);
  fillRandom(gpu, device);
  const std::vector<std::uint8_t> slab = download<std::uint8_t>(gpu, device.device(), slabBytes);
  std::memcpy(host.host(), slab.data(), slabBytes);
  runSizes(bench, Way::toDevice, host, second, slab, true);
  runSizes(bench, Way::toDevice, host, second, slab, false);
  runSizes(bench, Way::within, device, second, slab, false);
  for (const std::size_t rowBytes : {std::size_t{256}, 4 * kKiB}) gatherWithin(bench, device, second, rowBytes);
  runSizes(bench, Way::toHost, device, host, slab, false);
}

}  // namespace kvasir::gpu::bench
