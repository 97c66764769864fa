// rmsNorm against double precision; its f16 rows against what they are defined by.
#include <cmath>

#include "prepared_check.h"

namespace kvasir::gpu::test {
namespace {

struct Shape {
  int rows, groups, dim;
  bool inPlace, prepares, keeps;
};

void run(Case& c, const Shape& s) {
  const std::size_t dim = static_cast<std::size_t>(s.dim), vectors = static_cast<std::size_t>(s.rows * s.groups);
  std::vector<float> x = drawNormal(c.random, vectors * dim, 5.0f);
  const std::vector<float> weight = drawNormal(c.random, dim);
  for (std::size_t k = 0; k < dim && vectors > 1; ++k) x[dim + k] *= 1e-4f;  // eps shows
  const float eps = 1e-5f;
  std::vector<double> want;
  for (std::size_t v = 0; v < vectors; ++v) {
    double squares = 0.0;
    for (std::size_t k = 0; k < dim; ++k) squares += static_cast<double>(x[v * dim + k]) * static_cast<double>(x[v * dim + k]);
    const double inverse = 1.0 / std::sqrt(squares / static_cast<double>(dim) + static_cast<double>(eps));
    for (std::size_t k = 0; k < dim; ++k) want.push_back(static_cast<double>(x[v * dim + k]) * inverse * static_cast<double>(weight[k]));
  }
  const Buffer<float> input = c.upload(x), weights = c.upload(weight), other = c.poisoned<float>(x.size(), true);
  const Buffer<float>& out = s.inPlace ? input : other;
  const PreparedBuffers prepared(c, s.prepares ? s.rows : 0, s.dim);
  const KvasirRmsNormArgs args{input.get(), weights.get(), eps, s.rows, s.groups, s.dim, s.keeps ? out.get() : nullptr,
                               s.prepares ? prepared.view() : KvasirHalfRows{}};
  c.ok(c.gpu.rmsNorm(c.stream, &args), "rmsNorm");
  if (s.keeps) c.close(c.download(out), want, kRmsNorm, "out");
  if (s.prepares && s.keeps) prepared.same(c, c.download(out));
  if (s.prepares && !s.keeps) {
    // The same f16 rows as where out is kept.
    const PreparedBuffers again(c, s.rows, s.dim);
    const KvasirRmsNormArgs both{input.get(), weights.get(), eps, s.rows, s.groups, s.dim, other.get(), again.view()};
    c.ok(c.gpu.rmsNorm(c.stream, &both), "rmsNorm");
    c.same(c.download(prepared.halves), c.download(again.halves), "halves");
    c.same(c.download(prepared.scales), c.download(again.scales), "scales");
  }
  if (vectors < 2 || !s.keeps || s.inPlace) return;
  // A vector alone: the same bits.
  const std::vector<float> all = c.download(out);
  const Buffer<float> last = c.upload(std::vector<float>(x.end() - s.dim, x.end())), alone = c.poisoned<float>(dim, true);
  const KvasirRmsNormArgs one{last.get(), weights.get(), eps, 1, 1, s.dim, alone.get(), {}};
  c.ok(c.gpu.rmsNorm(c.stream, &one), "rmsNorm");
  c.same(c.download(alone), std::vector<float>(all.end() - s.dim, all.end()), "a vector alone");
}

void refuse(Case& c) {
  const Buffer<float> x = c.poisoned<float>(8);
  const PreparedBuffers prepared(c, 1, 8);
  const auto refused = [&](const KvasirRmsNormArgs& args, const char* what) {
    c.check(c.gpu.rmsNorm(c.stream, &args) == KVASIR_GPU_INVALID, std::string("taken: ") + what);
  };
  refused({x.get(), x.get(), 0.0f, -1, 1, 8, x.get(), {}}, "negative rows");
  refused({x.get(), x.get(), 0.0f, 1, 1, 0, x.get(), {}}, "no dim");
  refused({x.get(), x.get(), 0.0f, 1, 2, 4, x.get(), prepared.view()}, "prepared rows of two groups");
  refused({x.get(), x.get(), 0.0f, 1, 1, 8, nullptr, {}}, "no output");
  c.synchronize();
}

}  // namespace

void tests::rmsNorm(Suite& suite) {
  const int dims[] = {576, 64, 128, 1, 33, 256, 260, 80, 2050, 896}, rows[] = {1, 5, 0, 33};
  int i = 0;
  for (const int dim : dims) {
    for (const int groups : {1, 1, 3, 1, 9}) {
      const Shape shape = {rows[i % 4], groups, dim, i % 3 == 0, groups == 1 && i % 2 == 0, i % 8 != 4 || groups != 1};
      const std::string name = std::to_string(shape.rows) + " x " + std::to_string(groups) + " x " + std::to_string(dim) + ", no. " + std::to_string(i++);
      suite.run("rmsNorm", name, [&](Case& c) { run(c, shape); });
    }
  }
  suite.run("rmsNorm", "misuse", refuse);
}

}  // namespace kvasir::gpu::test
