// linear of every type, path and mode against double precision on the weights' own values, and the bits it promises.
#include <algorithm>
#include <cmath>

#include "../../cpu/simd/half.h"
#include "weight_case.h"

namespace kvasir::gpu::test {
namespace {

struct Part {
  WeightType type;
  int outs;
  bool bias, accumulate;
};

struct Shape {
  std::string name;
  int rows, cols;
  std::vector<Part> parts;
  int xGap = 0, outGap = 0;
};

struct Variant {
  int path, mode;
  const char* name;
};

constexpr Variant kVariants[] = {{KVASIR_LINEAR_DECODE, KVASIR_LINEAR_EXACT, "decode exact"},
                                 {KVASIR_LINEAR_DECODE, KVASIR_LINEAR_FAST, "decode fast"},
                                 {KVASIR_LINEAR_PREFILL, KVASIR_LINEAR_EXACT, "prefill exact"},
                                 {KVASIR_LINEAR_PREFILL, KVASIR_LINEAR_FAST, "prefill fast"}};

std::size_t size(int n) { return static_cast<std::size_t>(n); }

struct Data {
  const Shape& shape;
  std::size_t xStride;
  std::vector<float> x;  // [rows][xStride], NaN between rows
  std::vector<WeightCase> weights;
  std::vector<std::vector<float>> biases, before;  // before: [rows][outStride]
  std::vector<Buffer<float>> deviceBiases;

  Data(Case& c, const Shape& s) : shape(s), xStride(size(s.cols + s.xGap)) {
    x = drawNormal(c.random, size(s.rows) * xStride);
    for (std::size_t r = 0; r < size(s.rows); ++r) {
      // Rows beyond what float16 holds, at both ends, and outliers.
      const float scales[] = {1.0f, 1.0f, 3e6f, 1e-9f};
      const float scale = scales[drawInt(c.random, 0, 3)];
      for (std::size_t k = 0; k < xStride; ++k) {
        float& value = x[r * xStride + k];
        value *= drawInt(c.random, 0, 200) == 0 ? 20.0f * scale : scale;
        if (k >= size(s.cols)) value = NAN;
      }
    }
    for (const Part& part : s.parts) {
      weights.push_back(drawWeight(c, part.type, part.outs, s.cols));
      biases.push_back(part.bias ? drawNormal(c.random, size(part.outs)) : std::vector<float>());
      before.push_back(drawNormal(c.random, size(s.rows) * outStride(part)));
      deviceBiases.push_back(c.upload(biases.back()));
    }
  }

  std::size_t outStride(const Part& part) const { return size(part.outs + shape.outGap); }
};

// Rows `order` of the data, parts [first, end); outputs start as before[] does. `prepared`: x is made f16 by another call first.
std::vector<std::vector<float>> outputsOf(Case& c, const Data& d, const Variant& v, const std::vector<std::size_t>& order,
                                          std::size_t first, std::size_t end) {
  std::vector<float> x;
  for (const std::size_t r : order) x.insert(x.end(), &d.x[r * d.xStride], &d.x[r * d.xStride] + d.xStride);
  const Buffer<float> input = c.upload(x), scales = c.poisoned<float>(order.size(), true);
  const Buffer<std::uint16_t> halves = c.poisoned<std::uint16_t>(order.size() * size(kvasirHalfCols(d.shape.cols)), true);
  std::vector<Buffer<float>> outs;
  KvasirLinearArgs args{};
  args.x = input.get();
  args.xStride = d.xStride;
  args.rows = static_cast<int>(order.size());
  args.numParts = static_cast<int>(end - first);
  args.path = v.path;
  args.mode = v.mode;
  if (v.mode == KVASIR_LINEAR_FAST) args.prepared = {halves.get(), scales.get()};
  for (std::size_t p = first; p < end; ++p) {
    const Part& part = d.shape.parts[p];
    const std::size_t stride = d.outStride(part);
    std::vector<float> out;
    for (const std::size_t r : order) out.insert(out.end(), d.before[p].begin() + static_cast<std::ptrdiff_t>(r * stride), d.before[p].begin() + static_cast<std::ptrdiff_t>((r + 1) * stride));
    outs.push_back(c.upload(out));
    args.parts[p - first] = {d.weights[p].weight(), part.bias ? d.deviceBiases[p].get() : nullptr, outs.back().get(), stride, part.accumulate};
  }
  c.ok(c.gpu.linear(c.stream, &args), "linear");
  std::vector<std::vector<float>> got;
  for (const Buffer<float>& out : outs) got.push_back(c.download(out));
  return got;
}

void compare(Case& c, const Data& d, std::size_t p, const Variant& v, const std::vector<float>& got) {
  const Part& part = d.shape.parts[p];
  const std::size_t stride = d.outStride(part), cols = size(d.shape.cols);
  const double allowed = v.mode == KVASIR_LINEAR_EXACT ? kLinearExact * std::sqrt(static_cast<double>(cols)) : kLinearFast;
  for (std::size_t r = 0; r < size(d.shape.rows); ++r) {
    double apart = 0.0, whole = 0.0;
    for (std::size_t n = 0; n < stride; ++n) {
      const double before = static_cast<double>(d.before[p][r * stride + n]), value = static_cast<double>(got[r * stride + n]);
      if (n >= size(part.outs)) {
        c.check(value == before, "wrote between rows");
        continue;
      }
      double sum = part.bias ? static_cast<double>(d.biases[p][n]) : 0.0;
      if (part.accumulate) sum += before;
      double squares = sum * sum;
      for (std::size_t k = 0; k < cols; ++k) {
        const double product = static_cast<double>(d.x[r * d.xStride + k]) * static_cast<double>(d.weights[p].values[n * cols + k]);
        sum += product;
        squares += product * product;
      }
      apart += (value - sum) * (value - sum);
      whole += squares;
    }
    if (std::sqrt(apart) <= allowed * std::sqrt(whole)) continue;
    char text[160];
    std::snprintf(text, sizeof(text), "part %zu, row %zu: off by %.3g, allowed %.3g", p, r, std::sqrt(apart / whole), allowed);
    throw Failure{text};
  }
}

void run(Case& c, const Shape& s, const Variant& v) {
  const Data d(c, s);
  std::vector<std::size_t> all;
  for (std::size_t r = 0; r < size(s.rows); ++r) all.push_back(r);
  const std::vector<std::vector<float>> got = outputsOf(c, d, v, all, 0, s.parts.size());
  for (std::size_t p = 0; p < s.parts.size(); ++p) compare(c, d, p, v, got[p]);
  if (s.rows == 0) return;
  // Any choice and order of rows, any part alone: the same bits.
  const int counts[] = {1, s.rows, std::min(2 * s.rows + 1, 40)};
  std::vector<std::size_t> order;
  for (int i = counts[drawInt(c.random, 0, 2)]; i > 0; --i) order.push_back(size(drawInt(c.random, 0, s.rows - 1)));
  const std::size_t p = size(drawInt(c.random, 0, static_cast<int>(s.parts.size()) - 1)), stride = d.outStride(s.parts[p]);
  const std::vector<float> again = outputsOf(c, d, v, order, p, p + 1)[0];
  std::vector<float> want;
  for (const std::size_t r : order) want.insert(want.end(), got[p].begin() + static_cast<std::ptrdiff_t>(r * stride), got[p].begin() + static_cast<std::ptrdiff_t>((r + 1) * stride));
  c.same(again, want, "rows elsewhere");
}

// Inputs that no rounding can hide: zeros, one hot, NaN, an infinity.
void special(Case& c, WeightType type, const Variant& v) {
  const Shape s{"", 4, 256, {{type, 20, false, false}}};
  Data d(c, s);
  std::fill(d.x.begin(), d.x.end(), 0.0f);
  d.x[d.xStride + 70] = 128.0f;
  d.x[2 * d.xStride + 9] = NAN;
  d.x[3 * d.xStride + 255] = INFINITY;
  const std::vector<float> got = outputsOf(c, d, v, {0, 1, 2, 3}, 0, 1)[0];
  for (std::size_t n = 0; n < 20; ++n) {
    c.check(got[n] == 0.0f, "zeros give something");
    const float* row = &d.weights[0].values[n * 256];
    const float want = 128.0f * row[70];
    float largest = 0.0f;  // its scale and min are rounded too
    for (int k = 0; k < 256; ++k) largest = std::max(largest, std::fabs(row[k]));
    const float allowed = v.mode == KVASIR_LINEAR_EXACT ? 0.0f : 1e-3f * 128.0f * largest;
    c.check(std::fabs(got[20 + n] - want) <= allowed, "one hot gives another weight");
    c.check(std::isnan(got[40 + n]), "NaN is lost");
    c.check(!std::isfinite(got[60 + n]), "an infinity is lost");
  }
}

// x in f16 by one call serves the next one without x.
void sharesPrepared(Case& c) {
  const int rows = 5, cols = 96;
  const std::vector<float> x = drawNormal(c.random, size(rows * cols));
  const WeightCase w = drawWeight(c, WeightType::q8_0, 24, cols);
  const Buffer<float> input = c.upload(x), scales = c.poisoned<float>(size(rows), true);
  const Buffer<std::uint16_t> halves = c.poisoned<std::uint16_t>(size(rows * kvasirHalfCols(cols)), true);
  const Buffer<float> first = c.poisoned<float>(size(rows * 24)), second = c.poisoned<float>(size(rows * 24));
  KvasirLinearArgs args{};
  args.x = input.get();
  args.xStride = size(cols);
  args.rows = rows;
  args.numParts = 1;
  args.parts[0] = {w.weight(), nullptr, first.get(), 24, 0};
  args.path = KVASIR_LINEAR_DECODE;
  args.mode = KVASIR_LINEAR_FAST;
  args.prepared = {halves.get(), scales.get()};
  c.ok(c.gpu.linear(c.stream, &args), "linear");
  args.x = nullptr;
  args.parts[0].out = second.get();
  c.ok(c.gpu.linear(c.stream, &args), "linear of prepared rows");
  c.same(c.download(second), c.download(first), "out");
  const std::vector<std::uint16_t> held = c.download(halves);
  const std::vector<float> factors = c.download(scales);
  for (std::size_t r = 0; r < size(rows); ++r) {
    float largest = 0.0f;
    for (std::size_t k = 0; k < 128; ++k) {
      const float back = halfToFloat(held[r * 128 + k]) * factors[r], value = k < size(cols) ? x[r * size(cols) + k] : 0.0f;
      c.check(std::fabs(back - value) <= std::fabs(value) / 2048.0f, "a prepared value is off");
      largest = std::max(largest, std::fabs(halfToFloat(held[r * 128 + k])));
    }
    c.check(largest >= 16384.0f && largest <= 32768.0f, "a row is not scaled");
  }
}

void refuse(Case& c) {
  const WeightCase w = drawWeight(c, WeightType::f32, 4, 32);
  const Buffer<float> x = c.poisoned<float>(64), out = c.poisoned<float>(64);
  KvasirLinearArgs good{};
  good.x = x.get();
  good.xStride = 32;
  good.rows = 1;
  good.numParts = 1;
  good.parts[0] = good.parts[1] = {w.weight(), nullptr, out.get(), 4, 0};
  const auto refused = [&](const char* what, auto change) {
    KvasirLinearArgs args = good;
    change(args);
    c.check(c.gpu.linear(c.stream, &args) == KVASIR_GPU_INVALID, std::string("taken: ") + what);
  };
  refused("negative rows", [](KvasirLinearArgs& a) { a.rows = -1; });
  refused("no parts", [](KvasirLinearArgs& a) { a.numParts = 0; });
  refused("too many parts", [](KvasirLinearArgs& a) { a.numParts = 5; });
  refused("an unknown path", [](KvasirLinearArgs& a) { a.path = 2; });
  refused("an unknown mode", [](KvasirLinearArgs& a) { a.mode = -1; });
  refused("exact without x", [](KvasirLinearArgs& a) { a.x = nullptr; });
  refused("fast without prepared", [](KvasirLinearArgs& a) { a.mode = KVASIR_LINEAR_FAST; });
  refused("an unknown type", [](KvasirLinearArgs& a) { a.parts[0].weight.type = 4; });
  refused("parts of other cols", [](KvasirLinearArgs& a) { a.numParts = 2, a.parts[1].weight.cols = 16; });
  refused("rows that overlap", [](KvasirLinearArgs& a) { a.xStride = 31; });
  refused("outputs that overlap", [](KvasirLinearArgs& a) { a.parts[0].outStride = 3; });
  c.same(c.download(out), std::vector<float>(c.download(c.poisoned<float>(64))), "out");
}

std::vector<Shape> shapes(bool quick) {
  std::vector<Shape> all;
  const auto add = [&](int rows, int cols, std::vector<Part> parts, int xGap, int outGap) {
    for (const Part& part : parts) cols = fitCols(part.type, cols);
    std::string name = std::to_string(rows) + " rows x " + std::to_string(cols);
    for (const Part& part : parts) {
      for (const NamedType& type : weightTypes) {
        if (type.type == part.type) name += std::string(", ") + std::to_string(part.outs) + " " + type.name;
      }
    }
    all.push_back({name, rows, cols, std::move(parts), xGap, outGap});
  };
  const int types = static_cast<int>(std::size(weightTypes));
  const auto type = [&](int i) { return weightTypes[i % types].type; };
  for (int i = 0; i < types; ++i) {
    add(1, 64 + 96 * (i % 5), {{type(i), 17 + 16 * (i % 3), i % 2 == 0, i % 3 == 0}}, i % 4, 0);
    add(9 + i % 9, 160, {{type(i), 40, true, false}, {type(i + 5), 5 + i, false, true}, {type(i + 9), 16, true, true}}, 4, i % 3);
    if (!quick) add(i % 2 == 0 ? 70 : 37, 320, {{type(i), 90, false, i % 2 == 0}}, 0, 2);
  }
  add(0, 64, {{WeightType::q4_0, 16, true, false}}, 0, 0);
  add(3, 64, {{WeightType::q4_0, 0, false, false}, {WeightType::q4_0, 8, false, false}}, 0, 0);
  add(2, 1, {{WeightType::f32, 1, false, false}}, 0, 0);
  add(20, 33, {{WeightType::f16, 18, true, false}, {WeightType::bf16, 33, false, true}}, 2, 1);
  add(2, 4400, {{WeightType::q5_1, 20, false, false}}, 0, 0);
  add(130, 128, {{WeightType::q4_0, 129, true, true}}, 0, 0);
  add(4, 256, {{WeightType::q4_k, 32, false, false}, {WeightType::q4_k, 16, false, false}, {WeightType::q6_k, 16, false, false}, {WeightType::q4_k, 48, false, false}}, 0, 0);
  if (quick) return all;
  add(150, 256, {{WeightType::f32, 200, true, false}}, 0, 0);
  add(131, 512, {{WeightType::q6_k, 130, true, false}}, 1, 1);
  add(129, 192, {{WeightType::q8_0, 140, false, true}, {WeightType::q5_0, 30, false, false}}, 0, 0);
  return all;
}

}  // namespace

void tests::linear(Suite& suite) {
  for (const Shape& shape : shapes(suite.quick)) {
    for (const Variant& v : kVariants) suite.run("linear", shape.name + ", " + v.name, [&](Case& c) { run(c, shape, v); });
  }
  for (const NamedType& type : weightTypes) {
    for (const Variant& v : kVariants) {
      suite.run("linear", std::string(type.name) + ", special inputs, " + v.name, [&](Case& c) { special(c, type.type, v); });
    }
  }
  suite.run("linear", "prepared rows", sharesPrepared);
  suite.run("linear", "misuse", refuse);
}

}  // namespace kvasir::gpu::test
