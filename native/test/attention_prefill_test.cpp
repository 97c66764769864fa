// Prefill attention against float64 on the stored bits, for each instruction set: whole prompts, pieces of them, and rows
// that stand anywhere.
#include "attention_case.h"
#include "attention_check.h"
#include "test_context.h"

using namespace kvasir;
using namespace kvasir::test;

namespace {

constexpr double kPrefillError = 1e-5;

Checks check;

// The same rows in calls of their own: one sequence at a time, cut at random places.
std::vector<float> prefillInPieces(Context& context, Random& random, const Cache& cache, const std::vector<float>& q,
                                   const std::vector<std::int32_t>& rowStarts, float scale, int window) {
  const std::size_t rowValues = static_cast<std::size_t>(cache.shape.numHeads() * cache.shape.headDim);
  std::vector<float> out(q.size());
  for (std::size_t s = 0; s + 1 < rowStarts.size(); ++s) {
    for (int row = rowStarts[s]; row < rowStarts[s + 1];) {
      const int left = rowStarts[s + 1] - row,
                rows = drawInt(random, 1, std::min(left, drawInt(random, 0, 1) ? 5 : left));
      const std::int32_t starts[] = {0, rows}, context_[] = {cache.contextTokens[s] - left + rows};
      const Batch batch = {1, starts, context_, cache.pageStarts.data() + s, cache.pages.data()};
      attendPrefill(context, cache.view, cache.shape.layer, q.data() + row * rowValues, cache.shape.numHeads(), scale,
                    window, batch, out.data() + row * rowValues);
      row += rows;
    }
  }
  return out;
}

void checkPrefillAgainstExact(const char* name, Random& random, const Cache& cache, const std::vector<float>& q,
                              const std::vector<std::int32_t>& rowStarts, float scale, int window,
                              const std::vector<float>& got) {
  const Shape& shape = cache.shape;
  std::vector<double> want;
  for (std::size_t s = 0; s + 1 < rowStarts.size(); ++s) {
    const int rows = rowStarts[s + 1] - rowStarts[s];
    for (int r = 0; r < rows; r += drawInt(random, 1, 1 + rows / 8)) {
      const int last = cache.contextTokens[s] - rows + r, head = drawInt(random, 0, shape.numHeads() - 1);
      std::vector<int> indices;
      for (int index = window > 0 ? std::max(0, last - window + 1) : 0; index <= last; ++index)
        indices.push_back(index);
      const std::size_t at = (static_cast<std::size_t>(rowStarts[s] + r) * shape.numHeads() + head) * shape.headDim;
      attendExactly(cache, static_cast<int>(s), head / shape.group, q.data() + at, scale, indices, want);
      const double error = relativeError(got.data() + at, want, usualSize(shape.headDim, indices.size()));
      check(error <= kPrefillError, "prefill error", name, error);
    }
  }
}

void testPrefillOfRandomShapes(const NamedIsa& isa, Random& random) {
  TestContext one(isa.isa, 1), two(isa.isa, 2), seven(isa.isa, 7);
  for (int round = 0; round < 110; ++round) {
    const Shape shape = drawShape(random);
    std::vector<int> tokens;
    std::vector<std::int32_t> rowStarts = {0};
    for (int s = drawInt(random, 0, 3); s > 0; --s) {
      tokens.push_back(drawInt(random, 1, drawInt(random, 0, 5) == 0 ? 500 : 150));
      rowStarts.push_back(rowStarts.back() + drawInt(random, 0, tokens.back()));
    }
    const int window = drawInt(random, 0, 2) == 0 ? drawInt(random, 1, 200) : 0;
    const Cache cache(one, random, shape, tokens);
    const std::vector<float> q =
        drawNormal(random, static_cast<std::size_t>(rowStarts.back() * shape.numHeads() * shape.headDim));
    const float scale = scaleOf(shape);
    const std::vector<float> got = prefill(one, cache, q, rowStarts, scale, window);
    checkPrefillAgainstExact(isa.name, random, cache, q, rowStarts, scale, window, got);
    check(sameBits(prefillInPieces(one, random, cache, q, rowStarts, scale, window), got), "pieces give the same bits",
          isa.name);
    check(sameBits(prefill(two, cache, q, rowStarts, scale, window), got), "two threads give the same bits", isa.name);
    check(sameBits(prefill(seven, cache, q, rowStarts, scale, window), got), "seven threads give the same bits",
          isa.name);
  }
}

// Some rows of each sequence, wherever they stand, against the same rows of a call with all of them.
void testRowsAnywhere(const NamedIsa& isa, Random& random) {
  TestContext one(isa.isa, 1), two(isa.isa, 2);
  const double shares[] = {0.0, 0.02, 0.05, 0.15, 0.5, 1.0};
  for (int round = 0; round < 72; ++round) {
    const Shape shape = drawShape(random);
    std::vector<int> tokens;
    std::vector<std::int32_t> allStarts = {0}, rowStarts = {0}, positions;
    std::vector<int> rows;  // of the call with all of them
    for (int s = drawInt(random, 1, 3); s > 0; --s) {
      tokens.push_back(drawInt(random, 1, round % 8 == 0 ? 900 : 200));
      std::bernoulli_distribution taken(shares[round % 6]);
      for (int index = 0; index < tokens.back(); ++index) {
        if (!taken(random) && !(round % 6 == 0 && index == tokens.back() / 2)) continue;
        positions.push_back(index);
        rows.push_back(allStarts.back() + index);
      }
      rowStarts.push_back(static_cast<std::int32_t>(positions.size()));
      allStarts.push_back(allStarts.back() + tokens.back());
    }
    const int window = drawInt(random, 0, 2) == 0 ? drawInt(random, 1, 200) : 0;
    const Cache cache(one, random, shape, tokens);
    const std::size_t rowValues = static_cast<std::size_t>(shape.numHeads() * shape.headDim);
    const std::vector<float> q = drawNormal(random, static_cast<std::size_t>(allStarts.back()) * rowValues);
    const std::vector<float> all = prefill(one, cache, q, allStarts, scaleOf(shape), window);
    std::vector<float> some, want;
    for (int row : rows) {
      some.insert(some.end(), q.begin() + row * rowValues, q.begin() + (row + 1) * rowValues);
      want.insert(want.end(), all.begin() + row * rowValues, all.begin() + (row + 1) * rowValues);
    }
    for (Context* context : {static_cast<Context*>(&one), static_cast<Context*>(&two)}) {
      std::vector<float> got(some.size(), std::numeric_limits<float>::quiet_NaN());
      Batch batch = cache.batch(rowStarts);
      batch.positions = positions.data();
      attendPrefill(*context, cache.view, shape.layer, some.data(), shape.numHeads(), scaleOf(shape), window, batch,
                    got.data());
      check(sameBits(got, want), "rows anywhere have the bits of all rows", isa.name, static_cast<double>(rows.size()));
    }
  }
}

// What a row does not see may hold anything: later rows of the same call are NaN, infinity and zero in turn.
void testPrefillIgnoresLaterRows(const NamedIsa& isa, Random& random) {
  TestContext context(isa.isa, 1);
  for (int seen : {1, 15, 37, 64, 100}) {
    const Shape shape = {1, 3, 64, KvType::f32};
    Cache cache(context, random, shape, {130});
    const std::size_t seenValues = static_cast<std::size_t>(seen * shape.numHeads() * shape.headDim);
    const std::vector<float> q = drawNormal(random, static_cast<std::size_t>(130 * shape.numHeads() * shape.headDim));
    std::vector<float> before = prefill(context, cache, q, {0, 130}, scaleOf(shape), 0);
    before.resize(seenValues);
    for (float poison :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 0.0f, -0.0f}) {
      for (std::size_t i = static_cast<std::size_t>(seen * shape.headDim); i < cache.keys[0].size(); ++i)
        cache.keys[0][i] = cache.values[0][i] = poison;
      cache.write(context, 0, seen, 130);
      std::vector<float> after = prefill(context, cache, q, {0, 130}, scaleOf(shape), 0);
      after.resize(seenValues);
      check(sameBits(before, after), "later rows do not leak", isa.name, poison);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned seed = argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 1u;
  for (const NamedIsa& isa : availableIsas()) {
    Random random(seed);
    testPrefillOfRandomShapes(isa, random);
    testRowsAnywhere(isa, random);
    testPrefillIgnoresLaterRows(isa, random);
    std::printf("%s done\n", isa.name);
  }
  return check.report("attention prefill");
}
