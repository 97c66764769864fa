// Pieces over the link and within the device, by a kernel and by the copy engines: which is better from which size on; and
// what a copy beside products costs the products.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <string>

#include "bench.h"

namespace kvasir::gpu::bench {

namespace {

constexpr std::size_t kKiB = 1024, kMiB = 1024 * kKiB;

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

std::vector<std::uint8_t> bytesOf(const Bench& bench, const Memory& memory, std::size_t count) {
  if (memory.host() == nullptr) return download<std::uint8_t>(bench.gpu, memory.device(), count);
  bench.gpu.synchronize();
  const auto* first = static_cast<const std::uint8_t*>(memory.host());
  return {first, first + count};
}

bool arrived(const Bench& bench, const Pieces& pieces) {
  const std::size_t size = pieces.pieceBytes, count = pieces.order.size();
  const std::size_t last = static_cast<std::size_t>(*std::max_element(pieces.order.begin(), pieces.order.end()));
  const std::vector<std::uint8_t> from = bytesOf(bench, pieces.from, (last + 1) * size), to = bytesOf(bench, pieces.to, count * size);
  for (std::size_t i = 0; i < count; ++i) {
    if (std::memcmp(&to[i * size], &from[static_cast<std::size_t>(pieces.order[i]) * size], size) != 0) return false;
  }
  return true;
}

void runPieces(Bench& bench, Way way, const Pieces& pieces, const std::string& shape, int maxBlocks, const Target* target_) {
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
  if (!arrived(bench, pieces)) return bench.rows.wrong("copies", shape, "bytes differ");
  const Roofs& roofs = bench.roofs;
  const Job& roof = way == Way::toDevice ? roofs.toDevice() : way == Way::toHost ? roofs.toHost() : roofs.copy();
  const char* name = way == Way::toDevice ? "host to device" : way == Way::toHost ? "device to host" : "copy";
  bench.rows.timing("copies", shape, measure(gpu, job, &roof, bench.pace), "GB/s", name, target_);
}

// kernels.md's targets of the way to the device: 256 B by the kernel, 4 KiB by the kernel, whole pages by the engines.
const Target* targetOf(Way way, std::size_t bytes, int maxBlocks) {
  static const Target pages{0.95, 0.98}, runs{0.85, 0.95}, rows{0.40, 0.60};
  if (way != Way::toDevice) return nullptr;
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

// Products alone and products with a copy on another stream, in turn: the share of speed that is lost.
void besideProducts(Bench& bench, const Memory& from, const Memory& to, int maxBlocks) {
  const Gpu& gpu = bench.gpu;
  const std::string shape = "kernel of " + std::to_string(maxBlocks) + " blocks, 4 KiB from the host";
  if (bench.late("beside", shape)) return;
  const std::size_t bytes = 4 * kKiB, count = std::min(from.bytes(), to.bytes()) / bytes;
  const Pieces pieces{from, to, bytes, shuffled(count, count)};
  std::vector<KvasirPiece> list;
  for (std::size_t i = 0; i < count; ++i) list.push_back({source(pieces, i, true), target(pieces, i, true), bytes});
  const Memory listMemory = upload(gpu, list);
  const KvasirCopyPiecesArgs args{listMemory.device<KvasirPiece>(), static_cast<int32_t>(count), bytes, maxBlocks};
  KvasirStream* other = nullptr;
  gpu.check(gpu.table().createStream(gpu.device(), 0, &other), "createStream");
  const Job& products = bench.roofs.multiply();
  Pace pace = bench.pace;
  pace.slices = 1;
  std::vector<double> slowdowns;
  for (int slice = 0; slice < bench.pace.slices; ++slice) {
    const double alone = measure(gpu, products, nullptr, pace).micros.median;
    // A second of copies at least: they outlast the products that are timed.
    for (int i = 0; i < (bench.tiny ? 1 : 8); ++i) gpu.check(gpu.table().copyPieces(other, &args), "copyPieces");
    const double beside = measure(gpu, products, nullptr, pace).micros.median;
    gpu.check(gpu.table().synchronizeStream(other), "synchronizeStream");
    slowdowns.push_back(100.0 * (beside / alone - 1.0));
  }
  gpu.check(gpu.table().destroyStream(other), "destroyStream");
  const Target target{8, 3, true};
  bench.rows.value("beside", shape, spreadOf(slowdowns).median, "% slower products", &target);
}

}  // namespace

void steps::copies(Bench& bench) {
  const Gpu& gpu = bench.gpu;
  const std::size_t slab = bench.tiny ? 64 * kKiB : 256 * kMiB;
  const Memory device = Memory::onDevice(gpu, slab), second = Memory::onDevice(gpu, slab), host = Memory::onHost(gpu, slab);
  fillRandom(gpu, device);
  gpu.check(gpu.table().copy(gpu.stream(), host.host(), device.device(), slab), "copy");
  gpu.synchronize();

  std::vector<std::size_t> sizes = {256, kKiB, 4 * kKiB, 16 * kKiB, 32 * kKiB, 64 * kKiB, 256 * kKiB, 2 * kMiB};
  if (bench.tiny) sizes = {256, 4 * kKiB};
  for (const Way way : {Way::toDevice, Way::toHost, Way::within}) {
    const char* name = way == Way::toDevice ? "to device" : way == Way::toHost ? "to host" : "within";
    for (const std::size_t bytes : sizes) {
      const std::size_t count = std::min({slab / bytes / 2, 64 * kMiB / bytes, std::size_t{1} << 16});
      const Pieces pieces{way == Way::toDevice ? host : device, way == Way::toHost ? host : second, bytes,
                          shuffled(count, slab / bytes)};
      for (const int maxBlocks : {4, 16, 0, -1}) {  // -1: the copy engines
        if (maxBlocks == 0 && way != Way::within) continue;
        const std::string how = maxBlocks < 0 ? "engines" : maxBlocks == 0 ? "kernel" : "kernel of " + std::to_string(maxBlocks);
        const std::string shape = std::string(name) + ", " + bytesText(bytes) + " x " + std::to_string(count) + ", " + how;
        if (bench.late("copies", shape)) continue;
        runPieces(bench, way, pieces, shape, maxBlocks, targetOf(way, bytes, maxBlocks));
      }
    }
    // The host's slab was written to: its random bytes come back.
    if (way == Way::toHost) {
      gpu.check(gpu.table().copy(gpu.stream(), host.host(), device.device(), slab), "copy");
      gpu.synchronize();
    }
  }
  for (const std::size_t rowBytes : {std::size_t{256}, 4 * kKiB}) gatherWithin(bench, device, second, rowBytes);
  for (const int maxBlocks : {4, 16}) besideProducts(bench, host, second, maxBlocks);
}

}  // namespace kvasir::gpu::bench
