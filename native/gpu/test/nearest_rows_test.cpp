// prepareRows, rankRows and nearestRows against double precision.
#include <algorithm>
#include <cmath>

#include "../../cpu/simd/half.h"
#include "suite.h"

namespace kvasir::gpu::test {
namespace {

// Values of rows for one query, as the contract has them, and how exact a double makes them.
double valueOf(int metric, const float* x, const float* y, int dim) {
  double dot = 0.0, xx = 0.0, yy = 0.0, apart = 0.0;
  for (int i = 0; i < dim; ++i) {
    const double a = static_cast<double>(x[i]), b = static_cast<double>(y[i]);
    dot += a * b;
    xx += a * a;
    yy += b * b;
    apart += (a - b) * (a - b);
  }
  if (metric == KVASIR_METRIC_L2) return apart;
  return xx * yy == 0.0 ? 0.0 : dot / std::sqrt(xx * yy);
}

struct Best {
  int index = -1;
  double value = NAN;
};

Best bestOf(int metric, const float* x, const std::vector<float>& rows, int dim, const std::vector<std::int32_t>& candidates, float threshold) {
  Best best;
  for (const std::int32_t row : candidates) {
    if (row < 0) continue;
    const float value = static_cast<float>(valueOf(metric, x, &rows[static_cast<std::size_t>(row * dim)], dim));
    const bool cosine = metric == KVASIR_METRIC_COSINE;
    if (!(cosine ? value >= threshold : value <= threshold)) continue;
    const float old = static_cast<float>(best.value);
    if (best.index < 0 || (cosine ? value > old : value < old) || (value == old && row < best.index)) best = {row, static_cast<double>(value)};
  }
  return best;
}

// The answer, or one that rounding to f32 cannot tell from it.
void checkBest(Case& c, int metric, const std::vector<float>& x, const std::vector<float>& rows, int dim,
               const std::vector<Best>& want, float threshold, const std::vector<std::int32_t>& indices, const std::vector<float>& values) {
  for (std::size_t q = 0; q < want.size(); ++q) {
    const int index = indices[q];
    const double error = 2e-7 * std::max(std::fabs(want[q].value), metric == KVASIR_METRIC_COSINE ? 1.0 : 1e-30);
    const std::string at = "query " + std::to_string(q) + ": row " + std::to_string(index) + " of value " + std::to_string(values[q]) +
                           ", expected " + std::to_string(want[q].index) + " of " + std::to_string(want[q].value);
    if (want[q].index < 0 || index < 0) {
      c.check(index == want[q].index && std::isnan(values[q]), at + ", threshold " + std::to_string(threshold));
      continue;
    }
    const float* query = &x[q * static_cast<std::size_t>(dim)];
    const double ofIndex = valueOf(metric, query, &rows[static_cast<std::size_t>(index * dim)], dim);
    c.check(std::fabs(ofIndex - want[q].value) <= error && std::fabs(static_cast<double>(values[q]) - ofIndex) <= error, at);
    // Equal rows are equal values on any machine.
    const float *first = &rows[static_cast<std::size_t>(want[q].index * dim)], *second = &rows[static_cast<std::size_t>(index * dim)];
    if (index != want[q].index && std::equal(first, first + dim, second)) throw Failure{at + ": not the first of equal rows"};
  }
}

void rank(Case& c, int metric, int dim, int queries, int count) {
  const int rows = 40;
  std::vector<float> x = drawNormal(c.random, static_cast<std::size_t>(queries * dim)), y = drawNormal(c.random, static_cast<std::size_t>(rows * dim));
  std::copy_n(y.begin() + 3 * dim, dim, y.begin() + 30 * dim);
  std::fill_n(y.begin() + 5 * dim, dim, 0.0f);
  std::vector<std::int32_t> candidates;
  for (int i = 0; i < queries * count; ++i) candidates.push_back(drawInt(c.random, -2, rows - 1));
  if (queries > 1) std::copy_n(y.begin() + 3 * dim, dim, x.begin() + dim);
  if (queries > 1 && count > 1) {
    candidates[static_cast<std::size_t>(count)] = 30;
    candidates[static_cast<std::size_t>(count) + 1] = 3;
  }
  const float threshold = metric == KVASIR_METRIC_COSINE ? 0.02f : 2.2f * static_cast<float>(dim);
  std::vector<Best> want;
  for (int q = 0; q < queries; ++q) {
    const std::vector<std::int32_t> own(candidates.begin() + q * count, candidates.begin() + (q + 1) * count);
    want.push_back(bestOf(metric, &x[static_cast<std::size_t>(q * dim)], y, dim, own, threshold));
  }
  const Buffer<float> asked = c.upload(x), held = c.upload(y), values = c.poisoned<float>(want.size());
  const Buffer<std::int32_t> list = c.upload(candidates), indices = c.poisoned<std::int32_t>(want.size());
  const KvasirRankRowsArgs args{metric, dim, asked.get(), queries, held.get(), list.get(), count, threshold, indices.get(), values.get()};
  c.ok(c.gpu.rankRows(c.stream, &args), "rankRows");
  const std::vector<std::int32_t> got = c.download(indices);
  checkBest(c, metric, x, y, dim, want, threshold, got, c.download(values));
  if (queries > 1 && count > 1) c.check(got[1] == 3, "the lower of equal rows");
}

struct Prepared {
  Buffer<float> x, lengths;
  Buffer<std::uint16_t> halves;
  int rows;
  KvasirPreparedRows view() const { return {x.get(), halves.get(), lengths.get(), rows}; }
};

Prepared prepare(Case& c, const std::vector<float>& x, int dim) {
  const int rows = static_cast<int>(x.size()) / dim;
  const Prepared prepared{c.upload(x), c.poisoned<float>(static_cast<std::size_t>(rows)),
                          c.poisoned<std::uint16_t>(static_cast<std::size_t>(rows * KVASIR_PADDED_DIM(dim))), rows};
  const KvasirPrepareRowsArgs args{prepared.x.get(), rows, dim, prepared.halves.get(), prepared.lengths.get()};
  c.ok(c.gpu.prepareRows(c.stream, &args), "prepareRows");
  return prepared;
}

void prepareAlone(Case& c, int rows, int dim) {
  std::vector<float> x = drawNormal(c.random, static_cast<std::size_t>(rows * dim), 7.0f);
  for (int r = 0; r < rows; ++r) {
    const float scale = r % 4 == 1 ? 0.0f : r % 4 == 2 ? 1e-18f : r % 4 == 3 ? 1e15f : 1.0f;
    for (int i = 0; i < dim; ++i) x[static_cast<std::size_t>(r * dim + i)] *= scale;
  }
  const Prepared prepared = prepare(c, x, dim);
  const int padded = KVASIR_PADDED_DIM(dim);
  std::vector<double> lengths;
  const std::vector<std::uint16_t> halves = c.download(prepared.halves);
  for (int r = 0; r < rows; ++r) {
    double square = 0.0;
    for (int i = 0; i < dim; ++i) square += static_cast<double>(x[static_cast<std::size_t>(r * dim + i)]) * static_cast<double>(x[static_cast<std::size_t>(r * dim + i)]);
    lengths.push_back(std::sqrt(square));
    for (int i = 0; i < padded; ++i) {
      const double want = i < dim && square > 0.0 ? static_cast<double>(x[static_cast<std::size_t>(r * dim + i)]) * KVASIR_PREPARED_LENGTH / lengths.back() : 0.0;
      const double got = static_cast<double>(halfToFloat(halves[static_cast<std::size_t>(r * padded + i)]));
      c.check(std::fabs(got - want) <= 4.9e-4 * std::fabs(want) + 3e-8, "half " + std::to_string(i) + " of row " + std::to_string(r));
    }
  }
  c.close(c.download(prepared.lengths), lengths, kLengths, "lengths");
}

struct Shape {
  int queries, rows, dim;
  float threshold;  // a cosine; for L2 it is the distance of such unit rows times their size
  int kind;         // 0: random, 1: planted near queries, 2: all rows nearly alike, 3: lengths of all sizes, 4: equal rows
};

std::string nameOf(const Shape& s, int metric) {
  const char* kinds[] = {"random", "planted", "alike", "of all lengths", "equal"};
  char text[160];
  std::snprintf(text, sizeof(text), "%s, %d queries, %d rows of %d, threshold %g, %s", metric == KVASIR_METRIC_L2 ? "L2" : "cosine", s.queries,
                s.rows, s.dim, static_cast<double>(s.threshold), kinds[s.kind]);
  return text;
}

void nearest(Case& c, const Shape& s, int metric) {
  const std::size_t dim = static_cast<std::size_t>(s.dim);
  std::vector<float> x = drawNormal(c.random, static_cast<std::size_t>(s.queries) * dim), y = drawNormal(c.random, static_cast<std::size_t>(s.rows) * dim);
  const std::vector<float> noise = drawNormal(c.random, y.size());
  for (int r = 0; r < s.rows; ++r) {
    const std::size_t query = s.queries > 0 ? static_cast<std::size_t>(drawInt(c.random, 0, s.queries - 1)) : 0;
    const float length = s.kind == 3 ? std::pow(10.0f, static_cast<float>(r % 7 - 3)) : 1.0f;
    for (std::size_t i = 0; i < dim; ++i) {
      float& value = y[static_cast<std::size_t>(r) * dim + i];
      if (s.kind == 1 && s.queries > 0) value = x[query * dim + i] + 0.3f * value;
      // Apart by less than f16 can tell.
      if (s.kind == 2) value = y[i] + 1e-4f * noise[static_cast<std::size_t>(r) * dim + i];
      if (s.kind == 3) value *= length;
      if (s.kind == 4) value = y[static_cast<std::size_t>(r % 3) * dim + i];
    }
  }
  if (s.rows > 6) std::fill_n(y.begin() + 6 * s.dim, s.dim, 0.0f);
  if (s.queries > 2) std::fill_n(x.begin() + 2 * s.dim, s.dim, 0.0f);
  const float threshold = metric == KVASIR_METRIC_COSINE ? s.threshold
                          : s.threshold <= -1.0f         ? INFINITY
                                                         : 2.0f * (1.0f - s.threshold) * static_cast<float>(s.dim);
  std::vector<std::int32_t> all;
  for (int r = 0; r < s.rows; ++r) all.push_back(r);
  std::vector<Best> want;
  for (std::size_t q = 0; q < static_cast<std::size_t>(s.queries); ++q) want.push_back(bestOf(metric, &x[q * dim], y, s.dim, all, threshold));

  const Prepared queries = prepare(c, x, s.dim), rows = prepare(c, y, s.dim);
  const Buffer<float> values = c.poisoned<float>(want.size());
  const Buffer<std::int32_t> indices = c.poisoned<std::int32_t>(want.size());
  const std::size_t needed = kvasirNearestRowsBytes(s.rows, s.queries);
  const Buffer<std::uint8_t> workspace = c.poisoned<std::uint8_t>(needed);
  const KvasirNearestRowsArgs args{metric, s.dim, queries.view(), rows.view(), threshold, indices.get(), values.get(), workspace.get(), needed};
  c.ok(c.gpu.nearestRows(c.stream, &args), "nearestRows");
  checkBest(c, metric, x, y, s.dim, want, threshold, c.download(indices), c.download(values));
}

}  // namespace

void tests::prepareRows(Suite& suite) {
  const int rows[] = {0, 1, 4, 9, 33}, dims[] = {4, 28, 32, 64, 100, 576, 896, 1024};
  for (int i = 0; i < 40; ++i) {
    const int count = rows[i % 5], dim = dims[i / 5];
    suite.run("prepareRows", std::to_string(count) + " rows of " + std::to_string(dim), [&](Case& c) { prepareAlone(c, count, dim); });
  }
  suite.run("prepareRows", "refuses what it does not do", [](Case& c) {
    KvasirPrepareRowsArgs args{nullptr, 1, 6, nullptr, nullptr};
    c.check(c.gpu.prepareRows(c.stream, &args) == KVASIR_GPU_INVALID, "dim of no whole 16 bytes");
    args = {nullptr, -1, 64, nullptr, nullptr};
    c.check(c.gpu.prepareRows(c.stream, &args) == KVASIR_GPU_INVALID, "a negative number of rows");
  });
}

void tests::rankRows(Suite& suite) {
  const int dims[] = {4, 32, 64, 100, 576}, queries[] = {0, 1, 2, 70}, counts[] = {1, 4, 5, 16, 0};
  int i = 0;
  for (const int dim : dims) {
    for (const int count : queries) {
      for (const int metric : {KVASIR_METRIC_COSINE, KVASIR_METRIC_L2}) {
        const int of = counts[++i * 3 % 5];
        const std::string name = std::string(metric == KVASIR_METRIC_L2 ? "L2" : "cosine") + ", " + std::to_string(count) + " queries of " +
                                 std::to_string(dim) + ", " + std::to_string(of) + " candidates";
        suite.run("rankRows", name, [&](Case& c) { rank(c, metric, dim, count, of); });
      }
    }
  }
  suite.run("rankRows", "refuses what it does not do", [](Case& c) {
    KvasirRankRowsArgs args{KVASIR_METRIC_L2, 62, nullptr, 1, nullptr, nullptr, 1, 0.0f, nullptr, nullptr};
    c.check(c.gpu.rankRows(c.stream, &args) == KVASIR_GPU_INVALID, "dim of no whole 16 bytes");
    args.dim = 64;
    args.metric = 2;
    c.check(c.gpu.rankRows(c.stream, &args) == KVASIR_GPU_INVALID, "an unknown metric");
    args.metric = 0;
    args.count = -1;
    c.check(c.gpu.rankRows(c.stream, &args) == KVASIR_GPU_INVALID, "a negative count");
  });
}

void tests::nearestRows(Suite& suite) {
  std::vector<Shape> shapes = {{0, 5, 64, -1, 0},    {5, 0, 64, -1, 0},     {1, 1, 4, -1, 0},      {3, 129, 4, -1, 0},  {130, 128, 32, -1, 1},
                               {5, 127, 36, -1, 0},  {40, 130, 64, -1, 1},  {5, 1100, 32, -1, 1},  {4, 200, 64, -1, 2}, {4, 1030, 32, -1, 2},
                               {5, 300, 64, -1, 3},  {5, 100, 100, -1, 3},  {6, 260, 32, -1, 4},   {5, 90, 64, 0.3f, 0}, {9, 140, 64, 0.9f, 1},
                               {7, 150, 576, -1, 1}, {6, 64, 28, 0.99f, 1}, {129, 70, 36, 0.5f, 1}, {3, 10, 96, 2, 0},  {20, 513, 32, 0.2f, 0}};
  if (!suite.quick) {
    for (int i = 0; i < 12; ++i) shapes.push_back({1 + 37 * i % 200, 1 + 211 * i % 900, 4 * (1 + 7 * i % 40), i % 3 == 0 ? 0.4f : -1.0f, i % 5});
  }
  for (const Shape& shape : shapes) {
    for (const int metric : {KVASIR_METRIC_COSINE, KVASIR_METRIC_L2}) {
      suite.run("nearestRows", nameOf(shape, metric), [&](Case& c) { nearest(c, shape, metric); });
    }
  }
  suite.run("nearestRows", "refuses what it does not do", [](Case& c) {
    KvasirNearestRowsArgs args{};
    args.metric = KVASIR_METRIC_L2;
    args.dim = 64;
    args.queries.rows = 1;
    c.check(c.gpu.nearestRows(c.stream, &args) == KVASIR_GPU_INVALID, "no workspace");
    args.workspaceBytes = 1 << 20;
    args.dim = 66;
    c.check(c.gpu.nearestRows(c.stream, &args) == KVASIR_GPU_INVALID, "dim of no whole 16 bytes");
    args.dim = 64;
    args.metric = 7;
    c.check(c.gpu.nearestRows(c.stream, &args) == KVASIR_GPU_INVALID, "an unknown metric");
  });
}

}  // namespace kvasir::gpu::test
