#include "roofs.h"

#include <algorithm>
#include <cstring>
#include <random>

namespace kvasir::gpu::bench {

namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

constexpr std::size_t kRandomBytes = 16 * kMiB;

// Drawn once, as far as it was asked for: a model of 8 B parameters asks some hundred times.
const std::vector<std::uint16_t>& randomHalves(std::size_t count) {
  static std::mt19937 random(7);
  static std::vector<std::uint16_t> halves;
  while (halves.size() < count) {
    const std::uint32_t bits = random();
    halves.push_back(static_cast<std::uint16_t>((bits & 0x8000u) | ((12u + ((bits >> 16) & 3u)) << 10) | (bits & 0x3ffu)));
  }
  return halves;
}

}  // namespace

void fillRandom(const Gpu& gpu, const Memory& memory) {
  const std::size_t block = std::min(memory.bytes(), kRandomBytes);
  const std::uint16_t* halves = randomHalves((block + 1) / 2).data();
  gpu.check(gpu.table().copy(gpu.stream(), memory.device(), halves, block), "fillRandom");
  gpu.synchronize();
  for (std::size_t done = block; done < memory.bytes();) {
    const std::size_t bytes = std::min(done, memory.bytes() - done);
    gpu.check(gpu.table().copy(gpu.stream(), memory.device(done), memory.device(), bytes), "fillRandom");
    done += bytes;
  }
  gpu.synchronize();
}

Roofs::Roofs(const Gpu& gpu, bool tiny) : gpu_(gpu), tiny_(tiny) {}

Roofs::Held& Roofs::need(std::unique_ptr<Held>& held, std::size_t deviceBytes, std::size_t hostBytes) const {
  held = std::make_unique<Held>();
  held->device = Memory::onDevice(gpu_, deviceBytes);
  fillRandom(gpu_, held->device);
  if (hostBytes > 0) {
    held->host = Memory::onHost(gpu_, hostBytes);
    gpu_.check(gpu_.table().copy(gpu_.stream(), held->host.host(), held->device.device(), std::min(hostBytes, deviceBytes)), "roof");
    gpu_.synchronize();
  }
  return *held;
}

const Job& Roofs::copy() const {
  if (copy_) return copy_->job;
  // 2 GiB in all: four turns from a quarter to the half behind it.
  const std::size_t bytes = tiny_ ? 4096 : 256 * kMiB, turns = 4;
  Held& held = need(copy_, 2 * turns * bytes, 0);
  held.job = {[this, &held, bytes](KvasirStream* stream, int turn) {
                const std::size_t from = 2 * static_cast<std::size_t>(turn) * bytes;
                gpu_.check(gpu_.table().copy(stream, held.device.device(from + bytes), held.device.device(from), bytes), "copy");
              },
              2.0 * static_cast<double>(bytes), static_cast<int>(turns)};
  return held.job;
}

const Job& Roofs::read() const {
  if (read_) return read_->job;
  const std::size_t bytes = tiny_ ? 4096 : 512 * kMiB, turns = 4;
  const int blocks = tiny_ ? 2 : 8 * gpu_.info().multiprocessors;
  const std::size_t outBytes = static_cast<std::size_t>(blocks) * KVASIR_ROOF_THREADS * 16;
  Held& held = need(read_, turns * bytes + outBytes, 0);
  held.job = {[this, &held, bytes, blocks, turns](KvasirStream* stream, int turn) {
                const KvasirRoofProbeArgs args{KVASIR_ROOF_READ,
                                               blocks,
                                               held.device.device(static_cast<std::size_t>(turn) * bytes),
                                               bytes,
                                               0,
                                               held.device.device<std::uint32_t>(turns * bytes)};
                gpu_.check(gpu_.table().roofProbe(stream, &args), "roofProbe");
              },
              static_cast<double>(bytes), static_cast<int>(turns)};
  return held.job;
}

const Job& Roofs::multiply() const {
  if (multiply_) return multiply_->job;
  const int blocks = tiny_ ? 1 : 2 * gpu_.info().multiprocessors, rounds = tiny_ ? 1 : 1000;
  const std::size_t threads = static_cast<std::size_t>(blocks) * KVASIR_ROOF_THREADS;
  Held& held = need(multiply_, threads * (24 * 4 + 16), 0);
  const double products = static_cast<double>(threads / 32) * rounds * KVASIR_ROOF_PRODUCTS;
  held.job = {[this, &held, blocks, rounds, threads](KvasirStream* stream, int) {
                const KvasirRoofProbeArgs args{
                    KVASIR_ROOF_MULTIPLY, blocks, held.device.device(), 0, rounds, held.device.device<std::uint32_t>(threads * 96)};
                gpu_.check(gpu_.table().roofProbe(stream, &args), "roofProbe");
              },
              products * KVASIR_ROOF_FLOP, 1};
  return held.job;
}

const Job& Roofs::toDevice() const {
  if (toDevice_) return toDevice_->job;
  const std::size_t bytes = tiny_ ? 4096 : 64 * kMiB;
  Held& held = need(toDevice_, bytes, bytes);
  held.job = {[this, &held, bytes](KvasirStream* stream, int) {
                gpu_.check(gpu_.table().copy(stream, held.device.device(), held.host.host(), bytes), "copy");
              },
              static_cast<double>(bytes), 1};
  return held.job;
}

const Job& Roofs::toHost() const {
  if (toHost_) return toHost_->job;
  const std::size_t bytes = tiny_ ? 4096 : 64 * kMiB;
  Held& held = need(toHost_, bytes, bytes);
  held.job = {[this, &held, bytes](KvasirStream* stream, int) {
                gpu_.check(gpu_.table().copy(stream, held.host.host(), held.device.device(), bytes), "copy");
              },
              static_cast<double>(bytes), 1};
  return held.job;
}

Job Roofs::zeroCopy(int blocks) const {
  toDevice();  // whose pinned memory is read
  const Held& held = *toDevice_;
  const std::size_t bytes = held.host.bytes();
  auto out = std::make_shared<Memory>(Memory::onDevice(gpu_, static_cast<std::size_t>(blocks) * KVASIR_ROOF_THREADS * 16));
  return {[this, &held, bytes, blocks, out](KvasirStream* stream, int) {
            const KvasirRoofProbeArgs args{KVASIR_ROOF_READ, blocks, held.host.device(), bytes, 0, out->device<std::uint32_t>()};
            gpu_.check(gpu_.table().roofProbe(stream, &args), "roofProbe");
          },
          static_cast<double>(bytes), 1};
}

}  // namespace kvasir::gpu::bench
