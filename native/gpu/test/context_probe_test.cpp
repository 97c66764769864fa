// What kernels are built from, on the machine at hand, against plain loops.
#include <algorithm>
#include <cmath>

#include "../../cpu/simd/half.h"
#include "suite.h"

namespace kvasir::gpu::test {
namespace {

constexpr std::size_t kWarps = KVASIR_PROBE_BLOCKS * KVASIR_PROBE_WARPS;

struct Data {
  std::vector<std::uint16_t> a, b;
  std::vector<float> c, lanes, floats;
  std::vector<std::uint32_t> words;
};

Data probe(Case& c) {
  Data d;
  d.a = drawHalves(c.random, kWarps * 256);
  d.b = drawHalves(c.random, kWarps * 128);
  d.c = drawNormal(c.random, kWarps * 128);
  d.lanes = drawNormal(c.random, kWarps * 32, 4.0f);
  const Buffer<std::uint16_t> a = c.upload(d.a), b = c.upload(d.b);
  const Buffer<float> added = c.upload(d.c), lanes = c.upload(d.lanes), floats = c.poisoned<float>(kWarps * KVASIR_PROBE_FLOATS, true);
  const Buffer<std::uint32_t> words = c.poisoned<std::uint32_t>(kWarps * KVASIR_PROBE_WORDS), ticket = c.upload(std::vector<std::uint32_t>{0}),
                              taken = c.poisoned<std::uint32_t>(kWarps * 32), sums = c.poisoned<std::uint32_t>(KVASIR_PROBE_WARPS * 32);
  const KvasirContextProbeArgs args{a.get(), b.get(), added.get(), lanes.get(), floats.get(),
                                    words.get(), ticket.get(), taken.get(), sums.get()};
  c.ok(c.gpu.contextProbe(c.stream, &args), "contextProbe");
  d.floats = c.download(floats);
  d.words = c.download(words);
  std::vector<std::uint32_t> want;
  for (std::uint32_t thread = 0; thread < KVASIR_PROBE_WARPS * 32; ++thread) {
    std::uint32_t sum = 0;
    for (std::uint32_t block = 0; block < KVASIR_PROBE_BLOCKS; ++block) sum += block + (thread + block) % (KVASIR_PROBE_WARPS * 32);
    want.push_back(sum);
  }
  c.same(c.download(sums), want, "what the last block saw of all");
  c.same(c.download(ticket), {0}, "ticket given back");
  return d;
}

// Row `row` of what the probe gives for 32 lanes, of all warps.
template <class T>
std::vector<T> rowOf(const std::vector<T>& all, std::size_t perWarp, std::size_t first, std::size_t row) {
  std::vector<T> out;
  for (std::size_t w = 0; w < kWarps; ++w) {
    for (std::size_t lane = 0; lane < 32; ++lane) out.push_back(all[w * perWarp + first + 32 * row + lane]);
  }
  return out;
}

void matrices(Case& c) {
  const Data d = probe(c);
  std::vector<float> got;
  std::vector<double> want;
  std::vector<std::uint32_t> straight, transposed, gotStraight, gotTransposed;
  for (std::size_t w = 0; w < kWarps; ++w) {
    for (std::size_t i = 0; i < 16; ++i) {
      for (std::size_t j = 0; j < 8; ++j) {
        double sum = static_cast<double>(d.c[w * 128 + i * 8 + j]);
        for (std::size_t k = 0; k < 16; ++k) {
          sum += static_cast<double>(halfToFloat(d.a[w * 256 + i * 16 + k])) * static_cast<double>(halfToFloat(d.b[w * 128 + j * 16 + k]));
        }
        want.push_back(sum);
        got.push_back(d.floats[w * KVASIR_PROBE_FLOATS + i * 8 + j]);
      }
    }
    for (std::size_t m = 0; m < 4; ++m) {
      for (std::size_t lane = 0; lane < 32; ++lane) {
        const auto element = [&](std::size_t row, std::size_t column) -> std::uint32_t {
          return d.a[w * 256 + (row + m % 2 * 8) * 16 + column + m / 2 * 8];
        };
        const std::size_t i = lane / 4, j = lane % 4 * 2;
        straight.push_back(element(i, j) | element(i, j + 1) << 16);
        transposed.push_back(element(j, i) | element(j + 1, i) << 16);
        gotStraight.push_back(d.words[w * KVASIR_PROBE_WORDS + m * 32 + lane]);
        gotTransposed.push_back(d.words[w * KVASIR_PROBE_WORDS + 128 + m * 32 + lane]);
      }
    }
  }
  c.close(got, want, kProbeMma, "mma");
  c.same(gotStraight, straight, "ldmatrix");
  c.same(gotTransposed, transposed, "ldmatrix, transposed");
  std::vector<std::uint32_t> crossed;
  for (std::size_t w = 0; w < kWarps; ++w) crossed.insert(crossed.end(), &transposed[w * 128], &transposed[w * 128] + 32);
  c.same(rowOf(d.words, KVASIR_PROBE_WORDS, 256, 3), crossed, "transpose");
}

void lanes(Case& c) {
  const Data d = probe(c);
  std::vector<double> sums, quads, eights, powers;
  std::vector<float> largest, quadLargest, quadSmallest, across, turned, third;
  std::vector<std::uint32_t> ballots, halves, scans;
  for (std::size_t w = 0; w < kWarps; ++w) {
    const float* x = &d.lanes[w * 32];
    const auto sum = [&](std::size_t first, std::size_t count) {
      double total = 0.0;
      for (std::size_t i = first; i < first + count; ++i) total += static_cast<double>(x[i]);
      return total;
    };
    std::uint32_t bits = 0;
    for (std::size_t lane = 0; lane < 32; ++lane) bits |= (x[lane] > 0.0f ? 1u : 0u) << lane;
    for (std::size_t lane = 0; lane < 32; ++lane) {
      const std::size_t quad = lane / 4 * 4;
      sums.push_back(sum(0, 32));
      quads.push_back(sum(quad, 4));
      eights.push_back(sum(lane / 8 * 8, 8));
      powers.push_back(std::exp2(static_cast<double>(x[lane])));
      largest.push_back(*std::max_element(x, x + 32));
      quadLargest.push_back(*std::max_element(x + quad, x + quad + 4));
      quadSmallest.push_back(*std::min_element(x + quad, x + quad + 4));
      across.push_back(x[lane ^ 5]);
      turned.push_back(x[lane * 7 % 32]);
      third.push_back(x[3]);
      ballots.push_back(bits);
      halves.push_back(floatToHalf(x[lane] * 1000.0f) | static_cast<std::uint32_t>(floatToHalf(x[lane] * 1e-6f)) << 16);
      scans.push_back(static_cast<std::uint32_t>((lane + 1) * (lane + 2) / 2));
    }
  }
  const auto floats = [&](std::size_t row) { return rowOf(d.floats, KVASIR_PROBE_FLOATS, 128, row); };
  const auto words = [&](std::size_t row) { return rowOf(d.words, KVASIR_PROBE_WORDS, 256, row); };
  c.close(floats(0), sums, kProbeSums, "warpSum");
  c.same(floats(1), largest, "warpMax");
  c.close(floats(2), quads, kProbeSums, "warpSum of 4");
  c.same(floats(3), quadLargest, "warpMax of 4");
  c.same(floats(4), quadSmallest, "warpMin of 4");
  c.close(floats(5), eights, kProbeSums, "warpSum of 8");
  c.same(floats(6), across, "shuffleXor");
  c.same(floats(7), turned, "shuffle");
  c.same(floats(8), third, "shuffle from one lane");
  c.close(floats(9), powers, kProbeExp2, "exp2");
  c.same(words(0), ballots, "ballot");
  c.same(words(1), halves, "toHalves");
  c.same(words(2), scans, "warpScan");
}

}  // namespace

void tests::contextProbe(Suite& suite) {
  for (int round = 0; round < 20; ++round) {
    suite.run("contextProbe", "matrices " + std::to_string(round), matrices);
    suite.run("contextProbe", "lanes " + std::to_string(round), lanes);
  }
}

}  // namespace kvasir::gpu::test
