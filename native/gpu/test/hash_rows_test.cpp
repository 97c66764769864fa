// hashRows: to the bit as fused multiply-adds in order of dim, and products close to double precision.
#include <cmath>

#include "suite.h"

namespace kvasir::gpu::test {
namespace {

struct Shape {
  int rows, dim, hashes;
};

std::string nameOf(const Shape& s) {
  return std::to_string(s.rows) + " rows of " + std::to_string(s.dim) + ", " + std::to_string(s.hashes) + " hashes";
}

struct Planes {
  std::vector<float> plain, panels, offsets;
  float width = 3.0f;

  Planes(Random& random, const Shape& s) : plain(drawNormal(random, static_cast<std::size_t>(s.hashes * s.dim))), panels(plain.size(), NAN) {
    for (int h = 0; h < s.hashes; ++h) {
      offsets.push_back(static_cast<float>(drawInt(random, 0, 999)) * 0.003f);
      for (int i = 0; i < s.dim; ++i) {
        panels[static_cast<std::size_t>((h / 32 * s.dim + i) * 32 + h % 32)] = plain[static_cast<std::size_t>(h * s.dim + i)];
      }
    }
  }
};

template <class T>
std::vector<T> hashed(Case& c, const Shape& s, const Planes& planes, int kind, const std::vector<float>& x, std::size_t count) {
  const Buffer<float> rows = c.upload(x), panels = c.upload(planes.panels), offsets = c.upload(planes.offsets);
  const Buffer<T> out = c.poisoned<T>(count);
  const KvasirHashRowsArgs args{kind, s.hashes, s.dim, panels.get(), offsets.get(), planes.width, rows.get(), s.rows, out.get()};
  c.ok(c.gpu.hashRows(c.stream, &args), "hashRows");
  return c.download(out);
}

void run(Case& c, const Shape& s) {
  const Planes planes(c.random, s);
  std::vector<float> x = drawNormal(c.random, static_cast<std::size_t>(s.rows * s.dim), 2.0f);
  if (s.rows > 3) {
    std::fill_n(x.begin() + s.dim, s.dim, 0.0f);
    x[static_cast<std::size_t>(2 * s.dim)] = NAN;
    std::fill_n(x.begin() + 3 * s.dim, s.dim, 500.0f);  // cells beyond a byte
  }
  const std::size_t all = static_cast<std::size_t>(s.rows * s.hashes);
  std::vector<float> products(all);
  std::vector<double> exact(all);
  std::vector<std::uint8_t> signs(all / 8), floors(all);
  for (std::size_t at = 0; at < all; ++at) {
    const std::size_t row = at / static_cast<std::size_t>(s.hashes) * static_cast<std::size_t>(s.dim);
    const std::size_t plane = at % static_cast<std::size_t>(s.hashes) * static_cast<std::size_t>(s.dim);
    float sum = 0.0f;
    double xx = 0.0, rr = 0.0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(s.dim); ++i) {
      const float a = x[row + i], b = planes.plain[plane + i];
      sum = std::fma(a, b, sum);
      exact[at] += static_cast<double>(a) * static_cast<double>(b);
      xx += static_cast<double>(a) * static_cast<double>(a);
      rr += static_cast<double>(b) * static_cast<double>(b);
    }
    products[at] = sum;
    c.check(std::isnan(sum) || std::fabs(static_cast<double>(sum) - exact[at]) <= 1e-6 * std::sqrt(xx * rr), "the reference itself is off");
    if (sum >= 0.0f) signs[at / 8] = static_cast<std::uint8_t>(signs[at / 8] | 1 << at % 8);
    const float cell = 128.0f + std::floor((sum + planes.offsets[at % static_cast<std::size_t>(s.hashes)]) / planes.width);
    floors[at] = static_cast<std::uint8_t>(cell >= 0.0f ? cell <= 255.0f ? cell : 255.0f : 0.0f);
  }
  std::vector<float> got = hashed<float>(c, s, planes, KVASIR_HASH_PRODUCTS, x, all);
  for (std::size_t at = 0; at < all; ++at) {
    // A NaN has many bits.
    if (std::isnan(products[at]) && std::isnan(got[at])) got[at] = products[at];
  }
  c.same(got, products, "products");
  c.same(hashed<std::uint8_t>(c, s, planes, KVASIR_HASH_SIGNS, x, all / 8), signs, "signs");
  c.same(hashed<std::uint8_t>(c, s, planes, KVASIR_HASH_FLOORS, x, all), floors, "floors");
}

}  // namespace

void tests::hashRows(Suite& suite) {
  const int rows[] = {0, 1, 5, 64, 65, 130}, dims[] = {4, 32, 100, 64, 36, 28}, hashes[] = {64, 128, 192};
  for (int i = 0; i < 42; ++i) {
    const Shape shape = {rows[i % 6], dims[(i + i / 6) % 6], hashes[(i + i / 3) % 3]};
    suite.run("hashRows", nameOf(shape), [&](Case& c) { run(c, shape); });
  }
  const std::vector<Shape> large = {{70, 576, 256}, {3, 896, 1024}, {200, 576, 128}};
  for (std::size_t i = 0; i < (suite.quick ? 1u : large.size()); ++i) {
    suite.run("hashRows", nameOf(large[i]), [&](Case& c) { run(c, large[i]); });
  }
  suite.run("hashRows", "refuses what it does not do", [](Case& c) {
    const auto refused = [&](int kind, int numHashes, int dim, float width, int count, const char* what) {
      const KvasirHashRowsArgs args{kind, numHashes, dim, nullptr, nullptr, width, nullptr, count, nullptr};
      c.check(c.gpu.hashRows(c.stream, &args) == KVASIR_GPU_INVALID, what);
    };
    refused(KVASIR_HASH_SIGNS, 96, 64, 1.0f, 1, "hashes that fill no words");
    refused(KVASIR_HASH_SIGNS, 8192, 64, 1.0f, 1, "too many hashes");
    refused(KVASIR_HASH_SIGNS, 64, 63, 1.0f, 1, "dim of no whole 16 bytes");
    refused(KVASIR_HASH_FLOORS, 64, 64, 0.0f, 1, "cells without width");
    refused(3, 64, 64, 1.0f, 1, "an unknown kind");
    refused(KVASIR_HASH_SIGNS, 64, 64, 1.0f, -1, "a negative number of rows");
  });
}

}  // namespace kvasir::gpu::test
