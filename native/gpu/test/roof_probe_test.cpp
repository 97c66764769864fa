// roofProbe: that it reads all that it should, and multiplies what it says.
#include <cmath>

#include "../../cpu/simd/half.h"
#include "suite.h"

namespace kvasir::gpu::test {
namespace {

constexpr std::size_t kThreads = KVASIR_ROOF_THREADS;

void reads(Case& c, int blocks, std::size_t vectors) {
  std::vector<std::uint32_t> words(4 * vectors);
  for (std::uint32_t& word : words) word = c.random();
  const Buffer<std::uint32_t> from = c.upload(words), out = c.poisoned<std::uint32_t>(static_cast<std::size_t>(blocks) * kThreads * 4);
  const KvasirRoofProbeArgs args{KVASIR_ROOF_READ, blocks, from.get(), 16 * vectors, 0, out.get()};
  c.ok(c.gpu.roofProbe(c.stream, &args), "roofProbe");
  std::uint32_t got[4] = {}, want[4] = {};
  const std::vector<std::uint32_t> parts = c.download(out);
  for (std::size_t i = 0; i < parts.size(); ++i) got[i % 4] ^= parts[i];
  for (std::size_t i = 0; i < words.size(); ++i) want[i % 4] ^= words[i];
  for (int w = 0; w < 4; ++w) c.check(got[w] == want[w], "the exclusive or of all words differs");
}

// A half of what a thread holds: words 0 to 15 are four fragments of a, 16 to 23 four of b.
double halfOf(const std::vector<std::uint16_t>& halves, std::size_t thread, int word, int half) {
  return static_cast<double>(halfToFloat(halves[(thread * 24 + static_cast<std::size_t>(word)) * 2 + static_cast<std::size_t>(half)]));
}
// Elements of fragments of the warp from firstThread on, as of mma m16n8k16: lanes in groups of four along a row.
double aValue(const std::vector<std::uint16_t>& halves, std::size_t firstThread, int fragment, int row, int k) {
  const std::size_t lane = static_cast<std::size_t>(row % 8 * 4 + k % 8 / 2);
  return halfOf(halves, firstThread + lane, 4 * fragment + row / 8 + k / 8 * 2, k % 2);
}
double bValue(const std::vector<std::uint16_t>& halves, std::size_t firstThread, int fragment, int k, int column) {
  const std::size_t lane = static_cast<std::size_t>(column * 4 + k % 8 / 2);
  return halfOf(halves, firstThread + lane, 16 + 2 * fragment + k / 8, k % 2);
}

void multiplies(Case& c, int blocks, int rounds) {
  const std::size_t threads = static_cast<std::size_t>(blocks) * kThreads;
  const std::vector<std::uint16_t> halves = drawHalves(c.random, threads * 48);
  const Buffer<std::uint16_t> from = c.upload(halves);
  const Buffer<std::uint32_t> out = c.poisoned<std::uint32_t>(threads * 4, true);
  const KvasirRoofProbeArgs args{KVASIR_ROOF_MULTIPLY, blocks, from.get(), 0, rounds, out.get()};
  c.ok(c.gpu.roofProbe(c.stream, &args), "roofProbe");
  std::vector<float> got;
  for (const std::uint32_t bits : c.download(out)) {
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    got.push_back(value);
  }
  // Value w of a lane is row lane / 4 + 8 (w / 2), column 2 (lane % 4) + w % 2, summed over the products of all fragments.
  std::vector<double> want;
  for (std::size_t thread = 0; thread < threads; ++thread) {
    const std::size_t warp = thread / 32 * 32;
    const int lane = static_cast<int>(thread % 32);
    for (int w = 0; w < 4; ++w) {
      double sum = 0.0;
      for (int k = 0; k < 16; ++k) {
        double left = 0.0, right = 0.0;
        for (int i = 0; i < 4; ++i) {
          left += aValue(halves, warp, i, lane / 4 + 8 * (w / 2), k);
          right += bValue(halves, warp, i, k, lane % 4 * 2 + w % 2);
        }
        sum += left * right;
      }
      want.push_back(rounds * sum);
    }
  }
  c.close(got, want, kRoofSums, "sums");
}

}  // namespace

void tests::roofProbe(Suite& suite) {
  for (const int blocks : {1, 3, 8}) {
    for (const std::size_t vectors : {0, 1, 255, 256, 257, 1024, 1500, 4095, 9000}) {
      suite.run("roofProbe", "read " + std::to_string(vectors) + " by " + std::to_string(blocks), [=](Case& c) { reads(c, blocks, vectors); });
    }
    for (const int rounds : {0, 1, 2, 5}) {
      if (suite.quick && blocks > 1 && rounds != 2) continue;
      suite.run("roofProbe", "multiply " + std::to_string(rounds) + " by " + std::to_string(blocks), [=](Case& c) { multiplies(c, blocks, rounds); });
    }
  }
  suite.run("roofProbe", "empty", [](Case& c) {
    const KvasirRoofProbeArgs args{KVASIR_ROOF_EMPTY, 5, nullptr, 0, 0, nullptr};
    c.ok(c.gpu.roofProbe(c.stream, &args), "roofProbe");
    c.synchronize();
  });
  suite.run("roofProbe", "misuse", [](Case& c) {
    KvasirRoofProbeArgs args{KVASIR_ROOF_EMPTY, 0, nullptr, 0, 0, nullptr};
    c.check(c.gpu.roofProbe(c.stream, &args) == KVASIR_GPU_INVALID, "no blocks");
    args = {KVASIR_ROOF_READ, 1, nullptr, 8, 0, nullptr};
    c.check(c.gpu.roofProbe(c.stream, &args) == KVASIR_GPU_INVALID, "half a word");
    args = {7, 1, nullptr, 0, 0, nullptr};
    c.check(c.gpu.roofProbe(c.stream, &args) == KVASIR_GPU_INVALID, "no such kind");
  });
}

}  // namespace kvasir::gpu::test
