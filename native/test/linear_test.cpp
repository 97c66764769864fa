// Linear layers of every weight type, path, mode and instruction set against float64, and the bitwise promises.
// Usage: linear_test [isa ...]; without arguments every level that this machine runs.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "../cpu/linear/kernels.h"
#include "linear_random.h"
#include "test_context.h"

namespace kvasir::test {
namespace {

int failures = 0;
int checks = 0;

template <class... Values>
void expect(bool ok, const char* format, Values... values) {
  ++checks;
  if (ok) return;
  if (++failures <= 40) std::printf(format, values...);
}

struct NamedIsa {
  Isa isa;
  const char* name;
};

std::vector<NamedIsa> availableIsas() {
  std::vector<NamedIsa> isas = {{Isa::scalar, "scalar"}};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) isas.push_back({Isa::avx2, "avx2"});
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) isas.push_back({Isa::avx512, "avx512"});
  if (__builtin_cpu_supports("avx512vnni")) isas.push_back({Isa::vnni, "vnni"});
#elif defined(__aarch64__)
  isas.push_back({Isa::neon, "neon"});
#endif
  return isas;
}

constexpr const char* pathNames[] = {"prefill", "decode"};
constexpr const char* modeNames[] = {"exact", "fast"};

struct PartCase {
  WeightType type;
  const char* typeName;
  int outs;
  std::vector<std::uint8_t> file;
  std::vector<float> bias;     // empty: none
  bool accumulate;
  std::vector<float> weights;  // [outs][cols] dequantised
};

// A linear call with all its inputs, and float64 answers from real and from quantised activations.
struct Case {
  int rows, cols;
  std::size_t xStride, outStride;
  std::vector<float> x;
  std::vector<PartCase> parts;
  std::vector<float> before;  // what out holds before the call, [rows][outStride]
};

int fitCols(WeightType type, int cols) {
  const int block = lin::fileBlockCols(type);
  return (cols + block - 1) / block * block;
}

Case makeCase(Random& random, std::vector<NamedType> types, int rows, int cols, std::vector<int> outs) {
  Case c;
  c.rows = rows;
  c.cols = cols;
  for (const NamedType& type : types) c.cols = fitCols(type.type, c.cols);
  c.xStride = static_cast<std::size_t>(c.cols + between(random, 0, 1) * between(random, 1, 9));
  c.x = randomFloats(random, static_cast<std::size_t>(rows) * c.xStride + 1);
  for (float& value : c.x)
    if (between(random, 0, 200) == 0) value *= 20;  // outlier channels
  int widest = 1;
  for (std::size_t p = 0; p < types.size(); ++p) {
    PartCase part{types[p].type, types[p].name, outs[p], {}, {}, between(random, 0, 1) == 1, {}};
    part.file = randomFileRows(random, part.type, part.outs, c.cols);
    if (between(random, 0, 1)) part.bias = randomFloats(random, static_cast<std::size_t>(part.outs) + 1);
    const OwnedWeight packed(part.type, part.outs, c.cols, Isa::scalar, part.file);
    part.weights.resize(static_cast<std::size_t>(part.outs) * static_cast<std::size_t>(c.cols) + 1);
    for (int row = 0; row < part.outs; ++row)
      dequantiseRow(packed.weight, row, part.weights.data() + static_cast<std::size_t>(row) * static_cast<std::size_t>(c.cols));
    widest = part.outs > widest ? part.outs : widest;
    c.parts.push_back(std::move(part));
  }
  c.outStride = static_cast<std::size_t>(widest + between(random, 0, 5));
  c.before = randomFloats(random, static_cast<std::size_t>(rows) * c.outStride + 1);
  return c;
}

using Outputs = std::vector<std::vector<float>>;  // per part [rows][outStride]

// Runs the rows `order` of a case (in that order) on parts [firstPart, endPart).
Outputs runRows(const Case& c, Isa isa, int workers, LinearPath path, LinearMode mode, const std::vector<int>& order,
                std::size_t firstPart, std::size_t endPart) {
  TestContext context(isa, workers);
  std::vector<float> x(order.size() * c.xStride + 1);
  for (std::size_t i = 0; i < order.size(); ++i)
    std::memcpy(&x[i * c.xStride], &c.x[static_cast<std::size_t>(order[i]) * c.xStride], c.xStride * 4);
  Outputs outputs;
  std::vector<std::unique_ptr<OwnedWeight>> weights;
  std::vector<LinearPart> parts;
  for (std::size_t p = firstPart; p < endPart; ++p) {
    std::vector<float> out(order.size() * c.outStride + 1, NAN);
    for (std::size_t i = 0; i < order.size(); ++i)
      std::memcpy(&out[i * c.outStride], &c.before[static_cast<std::size_t>(order[i]) * c.outStride], c.outStride * 4);
    outputs.push_back(std::move(out));
    weights.push_back(std::make_unique<OwnedWeight>(c.parts[p].type, c.parts[p].outs, c.cols, isa, c.parts[p].file));
  }
  for (std::size_t p = firstPart; p < endPart; ++p) {
    const std::size_t i = p - firstPart;
    parts.push_back({&weights[i]->weight, c.parts[p].bias.empty() ? nullptr : c.parts[p].bias.data(), outputs[i].data(),
                     c.outStride, c.parts[p].accumulate});
  }
  linear(context, x.data(), c.xStride, static_cast<int>(order.size()), parts.data(), static_cast<int>(parts.size()), path, mode);
  return outputs;
}

std::vector<int> allRows(const Case& c) {
  std::vector<int> order;
  for (int row = 0; row < c.rows; ++row) order.push_back(row);
  return order;
}

// The activations as the fast mode sees them.
std::vector<float> roundedActivations(const Case& c) {
  std::vector<float> rounded = c.x;
  const int blocks = c.cols / lin::blockCols;
  std::vector<lin::ActBlock> quantised(static_cast<std::size_t>(blocks) + 1);
  for (int row = 0; row < c.rows; ++row) {
    float* x = &rounded[static_cast<std::size_t>(row) * c.xStride];
    lin::scalarBytes.quantise(x, blocks, quantised.data());
    for (int k = 0; k < blocks * lin::blockCols; ++k) {
      const lin::ActBlock& block = quantised[static_cast<std::size_t>(k / lin::blockCols)];
      x[k] = block.scale * static_cast<float>(block.codes[k % lin::blockCols]);
    }
  }
  return rounded;
}

struct Reference {
  std::vector<double> values;  // [rows][outs]
  double power;                // sum over outputs of the summands' squares: what cancellation cannot shrink
};

Reference reference(const Case& c, const PartCase& part, const std::vector<float>& x) {
  Reference result{{}, 0};
  for (int row = 0; row < c.rows; ++row) {
    for (int n = 0; n < part.outs; ++n) {
      const float* w = &part.weights[static_cast<std::size_t>(n) * static_cast<std::size_t>(c.cols)];
      const float* in = &x[static_cast<std::size_t>(row) * c.xStride];
      double sum = 0;
      for (int k = 0; k < c.cols; ++k) {
        const double product = static_cast<double>(w[k]) * static_cast<double>(in[k]);
        sum += product;
        result.power += product * product;
      }
      if (!part.bias.empty()) sum += static_cast<double>(part.bias[static_cast<std::size_t>(n)]);
      if (part.accumulate) sum += static_cast<double>(c.before[static_cast<std::size_t>(row) * c.outStride + static_cast<std::size_t>(n)]);
      result.values.push_back(sum);
      result.power += sum * sum;
    }
  }
  return result;
}

double nmse(const Case& c, const PartCase& part, const std::vector<float>& out, const Reference& wanted) {
  double error = 0;
  for (int row = 0; row < c.rows; ++row) {
    for (int n = 0; n < part.outs; ++n) {
      const double value = static_cast<double>(out[static_cast<std::size_t>(row) * c.outStride + static_cast<std::size_t>(n)]);
      const double difference = value - wanted.values[static_cast<std::size_t>(row) * static_cast<std::size_t>(part.outs) + static_cast<std::size_t>(n)];
      error += difference * difference;
    }
  }
  return error == 0 ? 0 : error / (wanted.power + 1e-30);
}

bool untouchedOutside(const Case& c, const PartCase& part, const std::vector<float>& out) {
  for (int row = 0; row < c.rows; ++row)
    for (std::size_t n = static_cast<std::size_t>(part.outs); n < c.outStride; ++n)
      if (std::memcmp(&out[static_cast<std::size_t>(row) * c.outStride + n], &c.before[static_cast<std::size_t>(row) * c.outStride + n], 4) != 0) return false;
  return true;
}

double worst[2][2][2];  // [path][mode][against real activations]

void checkCase(const Case& c, const std::vector<NamedIsa>& isas) {
  Random random(static_cast<std::uint64_t>(c.rows * 1000 + c.cols));
  const std::vector<float> rounded = roundedActivations(c);
  std::vector<Reference> real, quantised;
  for (const PartCase& part : c.parts) {
    real.push_back(reference(c, part, c.x));
    quantised.push_back(reference(c, part, rounded));
  }
  for (const NamedIsa& isa : isas) {
    const Outputs fastPrefill = runRows(c, isa.isa, 1, LinearPath::prefill, LinearMode::fast, allRows(c), 0, c.parts.size());
    const Outputs fastDecode = runRows(c, isa.isa, 1, LinearPath::decode, LinearMode::fast, allRows(c), 0, c.parts.size());
    for (std::size_t p = 0; p < c.parts.size(); ++p) {
      if (lin::layoutOf(c.parts[p].type).isFloat()) continue;
      const bool same = std::memcmp(fastPrefill[p].data(), fastDecode[p].data(), static_cast<std::size_t>(c.rows) * c.outStride * 4) == 0;
      expect(same, "FAIL %s %s fast: prefill and decode differ\n", isa.name, c.parts[p].typeName);
    }
    for (int path = 0; path < 2; ++path) {
      for (int mode = 0; mode < 2; ++mode) {
        const auto asPath = static_cast<LinearPath>(path);
        const auto asMode = static_cast<LinearMode>(mode);
        const Outputs out = runRows(c, isa.isa, 1, asPath, asMode, allRows(c), 0, c.parts.size());
        for (std::size_t p = 0; p < c.parts.size(); ++p) {
          const PartCase& part = c.parts[p];
          const bool bytes = mode == 1 && !lin::layoutOf(part.type).isFloat();
          const double exactError = nmse(c, part, out[p], bytes ? quantised[p] : real[p]);
          const double realError = nmse(c, part, out[p], real[p]);
          double* seen = worst[path][mode];
          seen[0] = exactError > seen[0] ? exactError : seen[0];
          seen[1] = realError > seen[1] ? realError : seen[1];
          expect(exactError <= 1e-11, "FAIL %s %s %s %s %dx%dx%d: NMSE %.3g\n", isa.name, part.typeName, pathNames[path], modeNames[mode], c.rows, c.cols, part.outs, exactError);
          const double limit = bytes ? 5e-4 * (1 + 20.0 / (c.rows * part.outs + 1)) : 1e-11;  // few outputs: more chance
          expect(realError <= limit, "FAIL %s %s %s %s %dx%dx%d: NMSE against real activations %.3g\n", isa.name, part.typeName, pathNames[path], modeNames[mode], c.rows, c.cols, part.outs, realError);
          expect(untouchedOutside(c, part, out[p]), "FAIL %s %s %s %s: wrote outside the output\n", isa.name, part.typeName, pathNames[path], modeNames[mode]);
        }
        // Any choice and order of rows, any number of workers, part by part: the same bits.
        std::vector<int> order;
        for (int i = between(random, 1, 2 * c.rows + 1); i > 0 && c.rows > 0; --i) order.push_back(between(random, 0, c.rows - 1));
        const std::size_t p = static_cast<std::size_t>(between(random, 0, static_cast<int>(c.parts.size()) - 1));
        const Outputs again = runRows(c, isa.isa, between(random, 1, 5), asPath, asMode, order, p, p + 1);
        bool same = true;
        for (std::size_t i = 0; i < order.size(); ++i)
          same &= std::memcmp(&again[0][i * c.outStride], &out[p][static_cast<std::size_t>(order[i]) * c.outStride], static_cast<std::size_t>(c.parts[p].outs) * 4) == 0;
        expect(same, "FAIL %s %s %s %s %dx%dx%d: a row depends on its neighbours or on the workers\n", isa.name, c.parts[p].typeName, pathNames[path], modeNames[mode], c.rows, c.cols, c.parts[p].outs);
      }
    }
  }
}

void testRandomShapes(const std::vector<NamedIsa>& isas) {
  Random random(11);
  const int numTypes = static_cast<int>(std::size(weightTypes));
  for (int i = 0; i < 280; ++i) {
    std::vector<NamedType> types = {weightTypes[i % numTypes]};
    while (between(random, 0, 2) == 0 && types.size() < 4) types.push_back(weightTypes[between(random, 0, numTypes - 1)]);
    const int rows = between(random, 0, 3) ? between(random, 0, 18) : between(random, 0, 90);
    const int cols = between(random, 0, 3) ? between(random, 1, 300) : between(random, 1, 900);
    std::vector<int> outs;
    for (std::size_t p = 0; p < types.size(); ++p) outs.push_back(between(random, 0, 3) ? between(random, 1, 70) : between(random, 0, 200));
    checkCase(makeCase(random, types, rows, cols, outs), isas);
  }
}

// Each type at the corners: no rows, no outputs, no columns, one of each, more columns than one panel holds.
void testCorners(const std::vector<NamedIsa>& isas) {
  Random random(12);
  for (const NamedType& type : weightTypes) {
    checkCase(makeCase(random, {type}, 0, 64, {16}), isas);
    checkCase(makeCase(random, {type}, 3, 0, {17}), isas);
    checkCase(makeCase(random, {type}, 3, 64, {0}), isas);
    checkCase(makeCase(random, {type}, 1, 1, {1}), isas);
    checkCase(makeCase(random, {type}, 17, 33, {33}), isas);
    checkCase(makeCase(random, {type}, 19, 4400, {35}), isas);
  }
}

// Inputs that no rounding can hide: zeros, one hot, NaN.
void testSpecialInputs(const std::vector<NamedIsa>& isas) {
  Random random(13);
  for (const NamedType& type : weightTypes) {
    Case c = makeCase(random, {type}, 3, 256, {40});
    c.parts[0].bias.clear();
    c.parts[0].accumulate = false;
    std::fill(c.x.begin(), c.x.end(), 0.0f);
    c.x[c.xStride + 70] = 127;          // row 1: one hot, exact in 8 bits too
    c.x[2 * c.xStride + 9] = NAN;       // row 2: NaN must come out
    for (const NamedIsa& isa : isas) {
      for (int variant = 0; variant < 4; ++variant) {
        const Outputs out = runRows(c, isa.isa, 1, static_cast<LinearPath>(variant / 2), static_cast<LinearMode>(variant % 2), allRows(c), 0, 1);
        bool zeros = true, column = true, nans = true;
        for (std::size_t n = 0; n < 40; ++n) {
          zeros &= out[0][n] == 0;
          const float wanted = 127 * c.parts[0].weights[n * static_cast<std::size_t>(c.cols) + 70];
          column &= std::fabs(out[0][c.outStride + n] - wanted) <= 1e-5f * (std::fabs(wanted) + 1);
          nans &= std::isnan(out[0][2 * c.outStride + n]);
        }
        expect(zeros && column && nans, "FAIL %s %s %s %s: zeros %d column %d NaN %d\n", isa.name, type.name, pathNames[variant / 2], modeNames[variant % 2], zeros, column, nans);
      }
    }
  }
}

void testQuantisedActivations(const std::vector<NamedIsa>& isas) {
  Random random(14);
  std::vector<float> x = randomFloats(random, 64 * 32);
  for (int k = 0; k < 32; ++k) x[static_cast<std::size_t>(k)] = 0, x[static_cast<std::size_t>(32 + k)] = 1e-39f, x[static_cast<std::size_t>(64 + k)] = 3e30f;
  std::vector<lin::ActBlock> wanted(64), got(64);
  std::vector<lin::DigitBlock> wantedDigits(64), gotDigits(64);
  lin::scalarBytes.quantise(x.data(), 64, wanted.data());
  lin::scalarBytes.splitDigits(x.data(), 64, wantedDigits.data());
  for (const NamedIsa& isa : isas) {
    lin::kernelsOf(isa.isa).bytes.quantise(x.data(), 64, got.data());
    lin::kernelsOf(isa.isa).bytes.splitDigits(x.data(), 64, gotDigits.data());
    const bool same = std::memcmp(wanted.data(), got.data(), 64 * sizeof(lin::ActBlock)) == 0 &&
                      std::memcmp(wantedDigits.data(), gotDigits.data(), 64 * sizeof(lin::DigitBlock)) == 0;
    expect(same, "FAIL %s: activations quantised differently\n", isa.name);
  }
}

void testPackedSize() {
  for (const NamedType& type : weightTypes) {
    const int cols = 1536, rows = 576;
    const std::size_t file = static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols / lin::fileBlockCols(type.type)) * static_cast<std::size_t>(lin::fileBlockBytes(type.type));
    const double growth = static_cast<double>(packedBytes(type.type, rows, cols, Isa::scalar)) / static_cast<double>(file);
    std::printf("  %-6s packed / file %.3f\n", type.name, growth);
    if (type.type == WeightType::q2_k || type.type == WeightType::q3_k || type.type == WeightType::iq4_nl) continue;
    expect(growth <= (type.type == WeightType::q4_k || type.type == WeightType::q5_k ? 1.03 : 1.0), "FAIL %s grows by %.3f\n", type.name, growth);
  }
}

void testEmbedding(const std::vector<NamedIsa>& isas) {
  Random random(15);
  for (const NamedType& type : weightTypes) {
    const Case c = makeCase(random, {type}, 1, 96, {50});
    std::vector<std::int32_t> ids;
    for (int i = 0; i < 45; ++i) ids.push_back(between(random, 0, 49));
    for (const NamedIsa& isa : isas) {
      TestContext context(isa.isa, 3);
      const OwnedWeight packed(type.type, 50, c.cols, isa.isa, c.parts[0].file);
      const std::size_t cols = static_cast<std::size_t>(c.cols);
      std::vector<float> out(45 * (cols + 3), NAN);
      embedRows(context, packed.weight, ids.data(), 45, out.data(), cols + 3);
      bool same = true;
      for (std::size_t i = 0; i < 45; ++i) same &= std::memcmp(&out[i * (cols + 3)], &c.parts[0].weights[static_cast<std::size_t>(ids[i]) * cols], cols * 4) == 0 && std::isnan(out[i * (cols + 3) + cols]);
      expect(same, "FAIL %s %s: embedRows\n", isa.name, type.name);
    }
  }
}

void testAbort(const std::vector<NamedIsa>& isas) {
  Random random(16);
  const std::vector<std::uint8_t> file = randomFileRows(random, WeightType::q4_1, 64, 64);
  for (const NamedIsa& isa : isas) {
    for (int path = 0; path < 2; ++path) {
      TestContext context(isa.isa, 2);
      context.abort(true);
      const OwnedWeight packed(WeightType::q4_1, 64, 64, isa.isa, file);
      std::vector<float> x(64 * 40, 1), out(64 * 40, 7);
      const LinearPart part{&packed.weight, nullptr, out.data(), 64, false};
      linear(context, x.data(), 64, 40, &part, 1, static_cast<LinearPath>(path), LinearMode::exact);
      bool untouched = true;
      for (float value : out) untouched &= value == 7;
      expect(untouched, "FAIL %s %s: an aborted call worked on\n", isa.name, pathNames[path]);
    }
  }
}

}  // namespace
}  // namespace kvasir::test

int main(int argc, char** argv) {
  using namespace kvasir::test;
  std::vector<NamedIsa> isas;
  for (const NamedIsa& isa : availableIsas()) {
    bool wanted = argc == 1;
    for (int i = 1; i < argc; ++i) wanted |= std::string(argv[i]) == isa.name;
    if (wanted) isas.push_back(isa);
  }
  std::printf("levels:");
  for (const NamedIsa& isa : isas) std::printf(" %s", isa.name);
  std::printf("\n");
  testPackedSize();
  testQuantisedActivations(isas);
  testEmbedding(isas);
  testSpecialInputs(isas);
  testAbort(isas);
  testCorners(isas);
  testRandomShapes(isas);
  for (int path = 0; path < 2; ++path)
    for (int mode = 0; mode < 2; ++mode)
      std::printf("  worst NMSE %s %s: %.2g, against real activations %.2g\n", pathNames[path], modeNames[mode], worst[path][mode][0], worst[path][mode][1]);
  std::printf("%d checks, %d failed\n", checks, failures);
  return failures == 0 ? 0 : 1;
}
