// Row-wise ops against float64, for each instruction set; results must not depend on threads or on neighbouring rows.
#include "kvasir/rows.h"

#include "attention_cache.h"
#include "attention_check.h"
#include "test_context.h"

using namespace kvasir;
using namespace kvasir::test;

namespace {

Checks check;

double largestError(const std::vector<float>& got, const std::vector<double>& want) {
  double worst = 0.0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double error = std::fabs(got[i] - want[i]) / (1e-30 + std::fabs(want[i]));
    worst = std::isfinite(got[i]) ? std::max(worst, error) : INFINITY;
  }
  return worst;
}

const int kDims[] = {576, 64, 1, 3, 7, 16, 17, 33, 100, 1536, 896};
const int kRows[] = {0, 1, 2, 5, 150};

void testRmsNorm(const NamedIsa& isa, Random& random) {
  TestContext one(isa.isa, 1), three(isa.isa, 3);
  for (int dim : kDims) {
    for (int rows : kRows) {
      const int groups = drawInt(random, 1, 3);
      const std::vector<float> x = drawNormal(random, static_cast<std::size_t>(rows * groups * dim), 3.0f),
                               weight = drawNormal(random, dim);
      std::vector<double> want;
      for (int row = 0; row < rows * groups; ++row) {
        double squares = 0.0;
        for (int i = 0; i < dim; ++i) squares += static_cast<double>(x[row * dim + i]) * x[row * dim + i];
        for (int i = 0; i < dim; ++i) want.push_back(x[row * dim + i] / std::sqrt(squares / dim + 1e-5) * weight[i]);
      }
      std::vector<float> got(x.size(), NAN), again = x, last(x.size(), NAN);
      rmsNorm(one, x.data(), weight.data(), 1e-5f, rows, groups, dim, got.data());
      check(largestError(got, want) <= 1e-6, "rmsNorm error", isa.name, largestError(got, want));
      rmsNorm(three, again.data(), weight.data(), 1e-5f, rows, groups, dim, again.data());
      check(sameBits(got, again), "rmsNorm in place on three threads", isa.name);
      const std::size_t from = rows > 1 ? static_cast<std::size_t>((rows - 1) * groups * dim) : 0;
      if (rows > 0) rmsNorm(one, x.data() + from, weight.data(), 1e-5f, 1, groups, dim, last.data() + from);
      check(rows == 0 || std::memcmp(last.data() + from, got.data() + from, (x.size() - from) * 4) == 0,
            "rmsNorm of a row alone", isa.name);
    }
  }
}

void testRope(const NamedIsa& isa, Random& random) {
  TestContext one(isa.isa, 1), three(isa.isa, 3);
  for (int rows : kRows) {
    for (int headDim : {64, 128, 80, 6}) {
      for (int rotaryDim : {headDim, headDim / 2, 2, 0}) {
        for (RopePairing pairing : {RopePairing::half, RopePairing::interleaved}) {
          const int heads = drawInt(random, 1, 9), pairs = rotaryDim / 2;
          const std::vector<float> x = drawNormal(random, static_cast<std::size_t>(rows * heads * headDim));
          std::vector<float> cos, sin, got = x, again = x;
          for (int i = 0; i < rows * pairs; ++i) {
            const float angle = drawNormal(random, 1, 100.0f)[0];
            cos.push_back(std::cos(angle));
            sin.push_back(std::sin(angle));
          }
          std::vector<double> want(x.begin(), x.end());
          for (int row = 0; row < rows; ++row) {
            for (int head = 0; head < heads; ++head) {
              for (int i = 0; i < rotaryDim / 2; ++i) {
                const int base = (row * heads + head) * headDim;
                const int a = base + (pairing == RopePairing::half ? i : 2 * i),
                          b = pairing == RopePairing::half ? a + pairs : a + 1;
                const double c = cos[row * pairs + i], s = sin[row * pairs + i];
                want[a] = x[a] * c - x[b] * s;
                want[b] = x[b] * c + x[a] * s;
              }
            }
          }
          ropeRows(one, got.data(), cos.data(), sin.data(), pairing, rows, heads, headDim, rotaryDim);
          const double error = relativeError(got.data(), want);
          check(error <= 1e-6, "rope error", isa.name, error);
          bool untouched = true;
          for (std::size_t i = 0; i < x.size(); ++i) {
            if (static_cast<int>(i) % headDim >= rotaryDim) untouched = untouched && got[i] == x[i];
          }
          check(untouched, "the rest of a head is left alone", isa.name);
          ropeRows(three, again.data(), cos.data(), sin.data(), pairing, rows, heads, headDim, rotaryDim);
          check(sameBits(got, again), "rope on three threads", isa.name);
        }
      }
    }
  }
}

void testSiluGate(const NamedIsa& isa, Random& random) {
  TestContext one(isa.isa, 1), three(isa.isa, 3);
  for (int dim : kDims) {
    for (int rows : kRows) {
      std::vector<float> gate = drawNormal(random, static_cast<std::size_t>(rows * dim), 8.0f);
      const std::vector<float> up = drawNormal(random, gate.size());
      const float extremes[] = {0.0f, -0.0f, 80.0f, -80.0f, 1e30f, 1e-30f};
      for (std::size_t i = 0; i < gate.size() && i < 6; ++i) gate[i] = extremes[i];
      std::vector<double> want;
      for (std::size_t i = 0; i < gate.size(); ++i)
        want.push_back(gate[i] / (1.0 + std::exp(-static_cast<double>(gate[i]))) * up[i]);
      std::vector<float> got(gate.size(), NAN), again = gate;
      siluGate(one, gate.data(), up.data(), rows, dim, got.data());
      check(largestError(got, want) <= 1e-6, "siluGate error", isa.name, largestError(got, want));
      siluGate(three, again.data(), up.data(), rows, dim, again.data());
      check(sameBits(got, again), "siluGate in place on three threads", isa.name);
    }
  }
  const std::vector<float> gate = {-1e30f, -200.0f}, up = {1.0f, 1.0f};
  std::vector<float> got(2, NAN);
  siluGate(one, gate.data(), up.data(), 1, 2, got.data());
  check(got[0] == 0.0f && got[1] == 0.0f, "silu of very negative values is zero", isa.name);
}

void testGatherRows(const NamedIsa& isa, Random& random) {
  TestContext three(isa.isa, 3);
  const std::vector<float> x = drawNormal(random, 50 * 576);
  for (int rows : {0, 1, 49, 300}) {
    std::vector<std::int32_t> ids;
    for (int i = 0; i < rows; ++i) ids.push_back(drawInt(random, 0, 49));
    std::vector<float> got(static_cast<std::size_t>(rows) * 576, NAN);
    gatherRows(three, x.data(), ids.data(), rows, 576, got.data());
    bool same = true;
    for (int i = 0; i < rows * 576; ++i) same = same && got[i] == x[ids[i / 576] * 576 + i % 576];
    check(same, "gatherRows", isa.name, rows);
  }
}

}  // namespace

int main() {
  for (const NamedIsa& isa : availableIsas()) {
    Random random(7);
    testRmsNorm(isa, random);
    testRope(isa, random);
    testSiluGate(isa, random);
    testGatherRows(isa, random);
  }
  return check.report("rows");
}
