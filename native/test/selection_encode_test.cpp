// Statistics and codes of segments on every instruction set against float64.
#include <utility>

#include "../cpu/selection/kernels.h"
#include "selection_check.h"
#include "selection_data.h"

namespace kvasir::test {
namespace {

using namespace selection;

const int dims[] = {1, 2, 7, 16, 24, 40, 64, 65, 80, 96, 100, 128, 192, 256, 512};
int randomDim(Random& random) { return dims[random.below(static_cast<int>(std::size(dims)))]; }

struct Encoded {
  std::vector<std::uint8_t> stats, codes;
  std::size_t planeBytes;
};

Encoded encodeWith(Isa isa, Sequence& sequence, int start, int end, int bits, int vectorBits) {
  Encoded out;
  const std::size_t tokens = static_cast<std::size_t>(end - start);
  out.planeBytes = tokens * static_cast<std::size_t>(rowBytes(bits));
  out.stats.assign(statBytes(sequence.headDim, vectorBits), 0xcd);
  out.codes.assign(out.planeBytes * static_cast<std::size_t>(codeUnits(sequence.headDim)), 0xcd);
  kernelsFor(isa).encode({headKeys(sequence.kv, 0, 0, sequence.pages.data()), start, end, bits, vectorBits, out.stats.data(),
                          out.codes.data(), out.planeBytes});
  return out;
}

struct Decoded {
  std::vector<double> mean, deviation;
  std::vector<int> steps;  // [token][channel]
  double radius;
};

Decoded decode(const Encoded& encoded, int dim, int tokens, int bits, int vectorBits) {
  Decoded out;
  const int row = rowBytes(bits);
  const std::uint8_t* deviations = encoded.stats.data() + meanBytes(dim, vectorBits);
  StatsTail tail;
  std::memcpy(&tail, deviations + deviationBytes(dim, vectorBits), sizeof tail);
  out.radius = static_cast<double>(halfToFloat(tail.radius));
  for (int i = 0; i < dim; ++i) {
    if (vectorBits == 16) {
      std::uint16_t half;
      std::memcpy(&half, encoded.stats.data() + 2 * i, 2);
      out.mean.push_back(static_cast<double>(halfToFloat(half)));
    } else {
      out.mean.push_back(static_cast<double>(static_cast<float>(static_cast<std::int8_t>(encoded.stats[static_cast<std::size_t>(i)])) *
                                             halfToFloat(tail.meanStep)));
    }
    const int level = vectorBits == 16
                          ? deviations[i]
                          : kDeviations[i % 16 < 8 ? deviations[i / 16 * 8 + i % 8] & 15 : deviations[i / 16 * 8 + i % 8] >> 4];
    out.deviation.push_back(static_cast<double>(static_cast<float>(level) * halfToFloat(tail.deviationStep)));
  }
  for (int t = 0; t < tokens && bits > 0; ++t) {
    for (int i = 0; i < dim; ++i) {
      const std::uint8_t* codes = encoded.codes.data() + static_cast<std::size_t>(i / 64) * encoded.planeBytes +
                                  static_cast<std::size_t>(t * row);
      out.steps.push_back(codeStep(bits, codes[i % 64 % row] >> (i % 64 / row * bits) & ((1 << bits) - 1)));
    }
  }
  return out;
}

std::vector<double> thresholds(int bits) {
  if (bits == 1) return {0};
  if (bits == 2) return {-0.982, 0, 0.982};
  return {-2.397, -1.833, -1.41, -1.081, -0.799, -0.517, -0.235, 0, 0.235, 0.517, 0.799, 1.081, 1.41, 1.833, 2.397};
}

void encodesMeansDeviationsAndResiduals() {
  for (int seed = 0; seed < 300; ++seed) {
    Random random(static_cast<std::uint64_t>(seed));
    const int dim = randomDim(random), start = random.below(40),
              tokens = random.pick({1, 2, 3, 15, 16, 17, 25, 64, 130});
    const int bits = random.pick({0, 1, 2, 4}), vectorBits = random.pick({8, 16});
    Sequence sequence(random, 1, 1, dim, start + tokens, random.pick({KvType::f16, KvType::f32}));
    const Encoded plain = encodeWith(Isa::scalar, sequence, start, start + tokens, bits, vectorBits);
    for (const NamedIsa& isa : availableIsas()) {
      const Encoded other = encodeWith(isa.isa, sequence, start, start + tokens, bits, vectorBits);
      expect(other.stats == plain.stats && other.codes == plain.codes, "%s encodes other bits, seed %d\n", isa.name,
             seed);
    }
    const Decoded got = decode(plain, dim, tokens, bits, vectorBits);
    std::vector<double> mean(static_cast<std::size_t>(dim)), deviation(mean);
    double most = 0, farthest = 0;
    for (int i = 0; i < dim; ++i) {
      double sum = 0, squares = 0;
      for (int t = 0; t < tokens; ++t) sum += sequence.key(0, 0, start + t, i);
      const double c = sum / tokens;
      for (int t = 0; t < tokens; ++t) squares += std::pow(sequence.key(0, 0, start + t, i) - c, 2);
      mean[static_cast<std::size_t>(i)] = c;
      deviation[static_cast<std::size_t>(i)] = std::sqrt(squares / tokens);
      most = std::max(most, deviation[static_cast<std::size_t>(i)]);
      farthest = std::max(farthest, std::fabs(c));
    }
    for (int i = 0; i < dim; ++i) {
      const std::size_t c = static_cast<std::size_t>(i);
      const double meanError = vectorBits == 16 ? 0x1p-11 * std::fabs(mean[c]) : farthest / 253;
      expect(std::fabs(got.mean[c] - mean[c]) <= meanError + 1e-5, "mean %g, not %g, seed %d\n", got.mean[c], mean[c],
             seed);
      // Of 8 bits: half a step. Of four: a fifth, or a step where steps are whole.
      const double deviationError = vectorBits == 16 ? most / 505 : 0.2 * deviation[c] + most / 254;
      expect(std::fabs(got.deviation[c] - deviation[c]) <= deviationError + 1e-5,
             "deviation %g, not %g of %g, seed %d\n", got.deviation[c], deviation[c], most, seed);
      if (i == 3) expect(got.deviation[c] == 0, "constant channel has deviation %g, seed %d\n", got.deviation[c], seed);
      for (int t = 0; t < tokens && got.deviation[c] > 0 && bits > 0; ++t) {
        const double r = (sequence.key(0, 0, start + t, i) - got.mean[c]) / got.deviation[c];
        int code = 0;
        bool close = false;
        for (const double edge : thresholds(bits)) {
          code += r >= edge ? 1 : 0;
          close = close || std::fabs(r - edge) < 1e-5;
        }
        expect(close || got.steps[static_cast<std::size_t>(t * dim + i)] == codeStep(bits, code),
               "wrong code of %g, seed %d\n", r, seed);
      }
    }
    double radius = 0;
    for (int t = 0; t < tokens; ++t) {
      double squares = 0;
      for (int i = 0; i < dim; ++i) {
        const std::size_t c = static_cast<std::size_t>(i);
        double estimate = got.mean[c];
        if (bits > 0) {
          const CodeScale scale = codeScale(bits);
          estimate += got.deviation[c] * static_cast<double>(scale.unit) *
                      (got.steps[static_cast<std::size_t>(t * dim + i)] - scale.zero);
        }
        squares += std::pow(sequence.key(0, 0, start + t, i) - estimate, 2);
      }
      radius = std::max(radius, std::sqrt(squares));
    }
    expect(got.radius >= radius && got.radius <= radius * 1.002 + 1e-6, "radius %g, not %g, seed %d\n", got.radius,
           radius, seed);
  }
}

void levelsAreTheQuantisers() {
  const double two[] = {-1.510, -0.453, 0.453, 1.510};
  for (int code = 0; code < 4; ++code) {
    const CodeScale scale = codeScale(2);
    expect(std::fabs(static_cast<double>(scale.unit * static_cast<float>(codeStep(2, code) - scale.zero)) - two[code]) <
               1e-6,
           "level of code %d\n", code);
  }
  // Mean squared error of the quantisers on a normal variable, the optimum of Max (1960) beside them.
  for (const auto& [bits, optimum] : {std::pair<int, double>{1, 0.3634}, {2, 0.1175}, {4, 0.009497}}) {
    const CodeScale scale = codeScale(bits);
    double error = 0, weight = 0;
    for (double x = -6; x <= 6; x += 0.001) {
      int code = 0;
      for (const double edge : thresholds(bits)) code += x >= edge ? 1 : 0;
      const double level = static_cast<double>(scale.unit * static_cast<float>(codeStep(bits, code) - scale.zero));
      error += std::exp(-x * x / 2) * std::pow(x - level, 2);
      weight += std::exp(-x * x / 2);
    }
    expect(error / weight < 1.03 * optimum, "quantiser of %d bits: error %g\n", bits, error / weight);
  }
  for (int code = 0; code < 2; ++code) {
    const CodeScale scale = codeScale(1);
    expect(std::fabs(static_cast<double>(scale.unit * static_cast<float>(codeStep(1, code) - scale.zero)) -
                     (code ? 0.798 : -0.798)) < 1e-6,
           "level of sign %d\n", code);
  }
}

}  // namespace

int runSelectionEncodeTests() {
  encodesMeansDeviationsAndResiduals();
  levelsAreTheQuantisers();
  return report("segment codes");
}

}  // namespace kvasir::test

int main() { return kvasir::test::runSelectionEncodeTests(); }
