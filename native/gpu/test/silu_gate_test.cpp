// siluGate against double precision; its f16 rows against what they are defined by.
#include <cmath>

#include "prepared_check.h"

namespace kvasir::gpu::test {
namespace {

struct Shape {
  int rows, dim;
  bool inPlace, prepares, keeps;
};

void run(Case& c, const Shape& s) {
  const std::size_t count = static_cast<std::size_t>(s.rows) * static_cast<std::size_t>(s.dim);
  std::vector<float> gate = drawNormal(c.random, count, 8.0f);
  const std::vector<float> up = drawNormal(c.random, count);
  const float special[] = {0.0f, -0.0f, 90.0f, -80.0f, 1e30f, 1e-30f};
  for (std::size_t i = 0; i < 6 && i < count; ++i) gate[i] = special[i];
  std::vector<double> want;
  for (std::size_t i = 0; i < count; ++i) {
    const double x = static_cast<double>(gate[i]);
    want.push_back(x / (1.0 + std::exp(-x)) * static_cast<double>(up[i]));
  }
  const Buffer<float> gates = c.upload(gate), ups = c.upload(up), other = c.poisoned<float>(count, true);
  const Buffer<float>& out = s.inPlace ? gates : other;
  const PreparedBuffers prepared(c, s.prepares ? s.rows : 0, s.dim);
  if (s.prepares && !s.keeps) {
    const PreparedBuffers again(c, s.rows, s.dim);
    const KvasirSiluGateArgs only{gates.get(), ups.get(), s.rows, s.dim, nullptr, again.view()};
    c.ok(c.gpu.siluGate(c.stream, &only), "siluGate");
    const KvasirSiluGateArgs both{gates.get(), ups.get(), s.rows, s.dim, other.get(), prepared.view()};
    c.ok(c.gpu.siluGate(c.stream, &both), "siluGate");
    again.same(c, c.download(other));
    return prepared.same(c, c.download(other));
  }
  const KvasirSiluGateArgs args{gates.get(), ups.get(), s.rows, s.dim, out.get(), s.prepares ? prepared.view() : KvasirHalfRows{}};
  c.ok(c.gpu.siluGate(c.stream, &args), "siluGate");
  const std::vector<float> got = c.download(out);
  for (std::size_t i = 0; i < count; ++i) {
    const double allowed = kSiluGate.absolute + kSiluGate.relative * std::fabs(want[i]);
    c.check(std::fabs(static_cast<double>(got[i]) - want[i]) <= allowed, "out[" + std::to_string(i) + "] is off");
  }
  if (s.prepares) prepared.same(c, got);
}

void nan(Case& c) {
  const Buffer<float> gate = c.upload(std::vector<float>{NAN, 1.0f}), up = c.upload(std::vector<float>{1.0f, NAN}), out = c.poisoned<float>(2);
  const KvasirSiluGateArgs args{gate.get(), up.get(), 1, 2, out.get(), {}};
  c.ok(c.gpu.siluGate(c.stream, &args), "siluGate");
  for (const float value : c.download(out)) c.check(std::isnan(value), "NaN is lost");
}

void refuse(Case& c) {
  const Buffer<float> x = c.poisoned<float>(8);
  const auto refused = [&](const KvasirSiluGateArgs& args, const char* what) {
    c.check(c.gpu.siluGate(c.stream, &args) == KVASIR_GPU_INVALID, std::string("taken: ") + what);
  };
  refused({x.get(), x.get(), -1, 8, x.get(), {}}, "negative rows");
  refused({x.get(), x.get(), 1, -8, x.get(), {}}, "negative dim");
  refused({x.get(), x.get(), 1, 8, nullptr, {}}, "no output");
  c.synchronize();
}

}  // namespace

void tests::siluGate(Suite& suite) {
  const int dims[] = {1536, 64, 1, 33, 4, 130, 2052, 4100}, rows[] = {1, 4, 0, 17};
  int i = 0;
  for (const int dim : dims) {
    for (int round = 0; round < 6; ++round, ++i) {
      const Shape shape = {rows[(i + i / 4) % 4], dim, round % 3 == 0, round % 2 == 0, round != 4};
      suite.run("siluGate", std::to_string(shape.rows) + " x " + std::to_string(dim) + ", no. " + std::to_string(round), [&](Case& c) { run(c, shape); });
    }
  }
  suite.run("siluGate", "NaN", nan);
  suite.run("siluGate", "misuse", refuse);
}

}  // namespace kvasir::gpu::test
