// Hashing, search among codes and ranking against plain float64 and brute force, for each instruction set; results must not
// depend on threads or on neighbouring rows.
#include "kvasir/lsh.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "../runtime/machine.h"
#include "attention_cache.h"
#include "attention_check.h"
#include "test_context.h"

using namespace kvasir;
using namespace kvasir::test;

namespace {

Checks check;

using Bytes = std::vector<std::uint8_t>;

Bytes drawBytes(Random& random, std::size_t count, int levels = 256) {
  Bytes bytes(count);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(drawInt(random, 0, levels - 1));
  return bytes;
}

struct Planes {
  std::vector<float> plain, panels, offsets;
  HashPlanes view;

  Planes(Random& random, int numHashes, int dim)
      : plain(drawNormal(random, static_cast<std::size_t>(numHashes) * dim)), panels(plain.size(), NAN) {
    for (int h = 0; h < numHashes; ++h) offsets.push_back(static_cast<float>(drawInt(random, 0, 999)) * 0.003f);
    packPlanes(plain.data(), numHashes, dim, panels.data());
    view = {numHashes, dim, panels.data(), offsets.data(), 3.0f};
  }
};

Bytes hashed(Context& context, const Planes& planes, HashKind kind, const float* x, int rows) {
  Bytes out(static_cast<std::size_t>(rows) * rowBytesOf(kind, planes.view.numHashes), 0xcd);
  hashRows(context, planes.view, kind, x, rows, out.data());
  return out;
}

constexpr HashKind kinds[] = {HashKind::signs, HashKind::floors, HashKind::products};

// Codes must be right wherever rounding cannot decide them.
void checkCodes(const char* isa, const Planes& planes, const std::vector<float>& x, int rows, const Bytes (&codes)[3]) {
  const int hashes = planes.view.numHashes, dim = planes.view.dim;
  int wrongSigns = 0, wrongFloors = 0, clear = 0;
  double worst = 0.0;
  for (int row = 0; row < rows; ++row) {
    for (int h = 0; h < hashes; ++h) {
      double product = 0.0, xx = 0.0, rr = 0.0;
      for (int i = 0; i < dim; ++i) {
        const double a = x[static_cast<std::size_t>(row) * dim + i], r = planes.plain[static_cast<std::size_t>(h) * dim + i];
        product += a * r;
        xx += a * a;
        rr += r * r;
      }
      const double scale = std::sqrt(xx * rr), cell = (product + planes.offsets[h]) / planes.view.width;
      const std::size_t at = static_cast<std::size_t>(row) * hashes + h;
      float got;
      std::memcpy(&got, codes[2].data() + at * 4, 4);
      worst = std::isfinite(got) ? std::max(worst, std::fabs(got - product) / (scale + 1e-30)) : INFINITY;
      const bool bit = codes[0][at / 8] >> (at % 8) & 1;
      if (std::fabs(product) > 1e-4 * scale) ++clear, wrongSigns += bit != (product >= 0.0);
      if (std::fabs(cell - std::round(cell)) > 1e-4 * (scale + 1.0))
        wrongFloors += codes[1][at] != std::clamp(128.0 + std::floor(cell), 0.0, 255.0);
    }
  }
  check(worst < 1e-6, "products", isa, worst);
  check(wrongSigns == 0, "signs", isa, wrongSigns);
  check(wrongFloors == 0, "floors", isa, wrongFloors);
  check(rows == 0 || clear > 0, "signs that rounding cannot decide", isa);
}

void testHashes(Isa isa, const std::vector<Bytes>* others, std::vector<Bytes>& all) {
  Random random(11);
  const char* name = nameOf(isa);
  TestContext one(isa, 1), three(isa, 3);
  for (int dim : {576, 1, 3, 64, 100}) {
    for (int hashes : {64, 256, 320}) {
      for (int rows : {0, 1, 5, 19, 230}) {
        if (rows == 230 && (dim > 100 || hashes == 320)) continue;
        const Planes planes(random, hashes, dim);
        std::vector<float> x = drawNormal(random, static_cast<std::size_t>(rows) * dim, 2.0f);
        if (rows == 19) std::fill_n(x.begin() + dim, dim, 0.0f);
        Bytes codes[3];
        for (int k = 0; k < 3; ++k) {
          codes[k] = hashed(one, planes, kinds[k], x.data(), rows);
          check(hashed(three, planes, kinds[k], x.data(), rows) == codes[k], "hashes on three threads", name, rows);
          if (rows > 1) {
            const Bytes last = hashed(one, planes, kinds[k], x.data() + static_cast<std::size_t>(rows - 1) * dim, 1);
            check(std::equal(last.begin(), last.end(), codes[k].end() - static_cast<std::ptrdiff_t>(last.size())), "hashes of a row alone", name);
          }
          if (others != nullptr) check((*others)[all.size()] == codes[k], "hashes as on other levels", name, dim);
          all.push_back(codes[k]);
        }
        checkCodes(name, planes, x, rows, codes);
        if (rows == 19)
          check(std::all_of(codes[0].begin() + hashes / 8, codes[0].begin() + hashes / 4, [](int b) { return b == 255; }), "signs of zeros", name);
      }
    }
  }
  const Planes planes(random, 64, 5);
  const float nan[5] = {1, NAN, 2, 3, 4};
  check(hashed(one, planes, HashKind::signs, nan, 1) == Bytes(8, 0), "signs of a NaN", name);
  check(hashed(one, planes, HashKind::floors, nan, 1) == Bytes(64, 0), "floors of a NaN", name);
}

struct Case {
  int rows, words, queries, count, maxDistance;
  int levels;  // of random bytes; 0: rows that come ever nearer to every second query and go ever farther from the others
};

Bytes codesOf(Random& random, const Case& at) {
  const std::size_t bytes = static_cast<std::size_t>(at.words) * 8;
  if (at.levels > 0) return drawBytes(random, at.rows * bytes, at.levels);
  Bytes codes(at.rows * bytes, 0);
  for (std::size_t row = 0; row < static_cast<std::size_t>(at.rows); ++row)
    std::fill_n(codes.begin() + static_cast<std::ptrdiff_t>(row * bytes), bytes * (static_cast<std::size_t>(at.rows) - row) / at.rows, 255);
  return codes;
}

Bytes queriesOf(Random& random, const Case& at) {
  const std::size_t bytes = static_cast<std::size_t>(at.words) * 8;
  if (at.levels > 0) return drawBytes(random, at.queries * bytes, at.levels);
  Bytes queries(at.queries * bytes, 0);
  for (std::size_t i = 0; i < queries.size(); ++i) queries[i] = i / bytes % 2 == 0 ? 0 : 255;
  return queries;
}

void checkNearest(const char* isa, CodeDistance distance, const Case& at, const Bytes& codes, const Bytes& queries,
                  const std::vector<std::int32_t>& indices, const std::vector<std::int32_t>& distances) {
  const int bytes = at.words * 8;
  int wrong = 0;
  for (int q = 0; q < at.queries; ++q) {
    std::vector<std::pair<int, int>> all;
    for (int row = 0; row < at.rows; ++row) {
      int sum = 0;
      for (int i = 0; i < bytes; ++i) {
        const int a = codes[static_cast<std::size_t>(row) * bytes + i], b = queries[static_cast<std::size_t>(q) * bytes + i];
        sum += distance == CodeDistance::hamming ? __builtin_popcount(static_cast<unsigned>(a ^ b)) : std::abs(a - b);
      }
      if (sum <= at.maxDistance) all.emplace_back(sum, row);
    }
    const std::size_t kept = std::min(all.size(), static_cast<std::size_t>(at.count));
    std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(kept), all.end());
    all.resize(kept);
    all.resize(static_cast<std::size_t>(at.count), {-1, -1});
    for (int i = 0; i < at.count; ++i) {
      const std::size_t place = static_cast<std::size_t>(q) * at.count + i;
      wrong += distances[place] != all[i].first || indices[place] != all[i].second;
    }
  }
  check(wrong == 0, distance == CodeDistance::hamming ? "nearest by Hamming" : "nearest by L1", isa, at.words);
}

void testNearest(Isa isa) {
  Random random(12);
  TestContext one(isa, 1), three(isa, 3);
  constexpr int far = std::numeric_limits<int>::max() - 1;
  // Few levels make ties, which go to the lower index.
  std::vector<Case> cases = {{66000, 1, 3, 20, far, 4}, {66000, 4, 9, 16, far, 256}, {20000, 4, 130, 2, far, 256}, {500, 64, 5, 3, 9000, 256}};
  for (int rows : {0, 1, 7, 8, 9, 100}) {
    for (int words : {1, 2, 3, 4, 8, 33}) cases.push_back({rows, words, drawInt(random, 0, 9), drawInt(random, 1, 30), far, drawInt(random, 2, 5)});
    cases.push_back({rows, 2, 5, 256, drawInt(random, 0, 20), 3});
  }
  // Around the ends of what is measured at once, and lists short and long in comparison.
  for (int rows : {63, 64, 65, 1023, 1024, 1025, 1032, 2049, 5000}) {
    for (int count : {1, 16, 32, 33, 256}) {
      const int words = drawInt(random, 1, 5);
      cases.push_back({rows, words, 5, count, far, 256});
      cases.push_back({rows, words, 5, count, far, 2});
      cases.push_back({rows, words, 5, count, drawInt(random, 0, words * 40), 256});
      cases.push_back({rows, 8 * words, 5, count, far, 0});
    }
  }
  for (const Case& at : cases) {
    const Bytes codes = codesOf(random, at), queries = queriesOf(random, at);
    std::vector<std::uint64_t> blocks(blockWordsOf(at.rows, at.words), ~std::uint64_t{0});
    packCodes(codes.data(), at.rows, at.words, blocks.data());
    for (CodeDistance distance : {CodeDistance::hamming, CodeDistance::l1}) {
      const std::size_t size = static_cast<std::size_t>(at.queries) * at.count;
      std::vector<std::int32_t> indices(size, -7), distances(size, -7), again(size, -7), apart(size, -7);
      const CodeTable table = {distance, at.rows, at.words, blocks.data()};
      nearestCodes(one, table, queries.data(), at.queries, at.count, at.maxDistance, indices.data(), distances.data());
      checkNearest(nameOf(isa), distance, at, codes, queries, indices, distances);
      nearestCodes(three, table, queries.data(), at.queries, at.count, at.maxDistance, again.data(), apart.data());
      check(again == indices && apart == distances, "nearest on three threads", nameOf(isa), at.rows);
    }
  }
}

void testRanks(Isa isa) {
  Random random(13);
  TestContext one(isa, 1), three(isa, 3);
  for (int dim : {1, 7, 64, 100, 576}) {
    for (int queries : {0, 1, 70}) {
      for (RowMetric metric : {RowMetric::cosine, RowMetric::l2}) {
        const int rows = 40, count = drawInt(random, 1, 20);
        std::vector<float> x = drawNormal(random, static_cast<std::size_t>(queries) * dim), y = drawNormal(random, static_cast<std::size_t>(rows) * dim);
        std::copy_n(y.begin() + 3 * dim, dim, y.begin() + 30 * dim);  // two equal rows
        std::fill_n(y.begin() + 5 * dim, dim, 0.0f);
        if (queries > 1) std::copy_n(y.begin() + 3 * dim, dim, x.begin() + dim);
        std::vector<std::int32_t> candidates;
        for (int i = 0; i < queries * count; ++i) candidates.push_back(drawInt(random, -2, rows - 1));
        if (queries > 1 && count > 1) candidates[static_cast<std::size_t>(count)] = 30, candidates[static_cast<std::size_t>(count) + 1] = 3;
        const float threshold = metric == RowMetric::cosine ? 0.02f : 2.2f * static_cast<float>(dim);
        const RankInput input = {metric, dim, x.data(), queries, y.data(), candidates.data(), count, threshold};
        std::vector<std::int32_t> indices(static_cast<std::size_t>(queries), -7), again = indices;
        std::vector<float> values(static_cast<std::size_t>(queries), -7.0f), others = values;
        rankRows(one, input, indices.data(), values.data());
        rankRows(three, input, again.data(), others.data());
        check(again == indices && std::equal(values.begin(), values.end(), others.begin(), [](float a, float b) { return a == b || (a != a && b != b); }), "ranks on three threads", nameOf(isa));
        for (int q = 0; q < queries; ++q) {
          double best = metric == RowMetric::cosine ? -2.0 : 1e30, ofChosen = NAN;
          for (int i = 0; i < count; ++i) {
            const int row = candidates[static_cast<std::size_t>(q) * count + i];
            if (row < 0) continue;
            double dot = 0.0, xx = 0.0, yy = 0.0, apart = 0.0;
            for (int d = 0; d < dim; ++d) {
              const double a = x[static_cast<std::size_t>(q) * dim + d], b = y[static_cast<std::size_t>(row) * dim + d];
              dot += a * b, xx += a * a, yy += b * b, apart += (a - b) * (a - b);
            }
            const double value = metric == RowMetric::l2 ? apart : xx * yy == 0.0 ? 0.0 : dot / std::sqrt(xx * yy);
            best = metric == RowMetric::cosine ? std::max(best, value) : std::min(best, value);
            if (row == indices[static_cast<std::size_t>(q)]) ofChosen = value;
          }
          const double error = 1e-6 * (metric == RowMetric::cosine ? 1.0 : dim), got = values[static_cast<std::size_t>(q)];
          const bool reached = metric == RowMetric::cosine ? best >= threshold : best <= threshold;
          if (std::fabs(best - threshold) < 2 * error) continue;
          if (!reached) check(indices[static_cast<std::size_t>(q)] == -1 && std::isnan(got), "no candidate is near enough", nameOf(isa), best);
          else check(std::fabs(ofChosen - best) <= error && std::fabs(got - best) <= error, "best candidate", nameOf(isa), got - best);
        }
        if (queries > 1 && count > 1 && dim > 1) check(indices[1] == 3, "the lower of equal rows", nameOf(isa), indices[1]);
      }
    }
  }
}

void testAbort(Isa isa) {
  Random random(14);
  TestContext context(isa, 2);
  context.abort(true);
  const Planes planes(random, 64, 8);
  const std::vector<float> x = drawNormal(random, 8 * 300);
  Bytes out(300 * 8, 0xcd);
  hashRows(context, planes.view, HashKind::signs, x.data(), 300, out.data());
  check(std::all_of(out.begin(), out.end(), [](int byte) { return byte == 0xcd; }), "an aborted run writes nothing", nameOf(isa));
}

}  // namespace

int main() {
  std::vector<Bytes> plain, first;
  testHashes(Isa::scalar, nullptr, plain);
  for (Isa isa : runnableIsas()) {
    if (isa != Isa::scalar) {
      std::vector<Bytes> codes;
      testHashes(isa, first.empty() ? nullptr : &first, codes);
      if (first.empty()) first = codes;
    }
    testNearest(isa);
    testRanks(isa);
    testAbort(isa);
  }
  return check.report("lsh");
}
