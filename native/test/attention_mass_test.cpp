// Attention mass and weights over chosen rows against float64 on the stored bits, for each instruction set.
#include "attention_case.h"
#include "attention_check.h"
#include "test_context.h"

using namespace kvasir;
using namespace kvasir::test;

namespace {

constexpr double kMassError = 1e-5;

Checks check;

// Softmax weights of one query over the given rows of sequence 0.
std::vector<double> weighExactly(const Cache& cache, int kvHead, const float* q, double scale,
                                 const std::vector<int>& indices) {
  std::vector<double> weights;
  double max = -std::numeric_limits<double>::infinity(), sum = 0.0;
  for (int index : indices) {
    double score = 0.0;
    for (int i = 0; i < cache.shape.headDim; ++i) score += static_cast<double>(q[i]) * cache.at(false, 0, index, kvHead, i);
    weights.push_back(score * scale);
    max = std::max(max, weights.back());
  }
  for (double& weight : weights) sum += weight = std::exp(weight - max);
  for (double& weight : weights) weight /= sum;
  return weights;
}

std::vector<int> range(int first, int end) {
  std::vector<int> indices;
  for (int index = first; index < end; ++index) indices.push_back(index);
  return indices;
}

// mass [numHeads][stride] of the last `rows` of the first `tokens` rows; q [rows].
void addMass(Context& context, const Cache& cache, const float* q, int rows, int tokens, int window, float* mass,
             std::size_t stride, const float* lse = nullptr) {
  const std::int32_t rowStarts[] = {0, rows}, seen[] = {tokens};
  attentionMass(context, cache.view, cache.shape.layer, q, cache.shape.numHeads(), scaleOf(cache.shape), window,
                {1, rowStarts, seen, cache.pageStarts.data(), cache.pages.data()}, lse, mass, stride);
}

// As prefill attention of the same rows leaves it.
std::vector<float> lseOf(Context& context, const Cache& cache, const std::vector<float>& q, int rows, int tokens,
                         int window) {
  const std::int32_t rowStarts[] = {0, rows}, seen[] = {tokens};
  std::vector<float> out(q.size()), lse(static_cast<std::size_t>(rows * cache.shape.numHeads()), NAN);
  attendPrefill(context, cache.view, cache.shape.layer, q.data(), cache.shape.numHeads(), scaleOf(cache.shape), window,
                {1, rowStarts, seen, cache.pageStarts.data(), cache.pages.data()}, out.data(), lse.data());
  return lse;
}

std::vector<double> massExactly(const Cache& cache, const std::vector<float>& q, int rows, int tokens, int window,
                                int stride) {
  const Shape& shape = cache.shape;
  std::vector<double> mass(static_cast<std::size_t>(shape.numHeads() * stride), 0.0);
  for (int r = 0; r < rows; ++r) {
    const int last = tokens - rows + r, first = window > 0 ? std::max(0, last - window + 1) : 0;
    for (int head = 0; head < shape.numHeads(); ++head) {
      const float* query = q.data() + (static_cast<std::size_t>(r) * shape.numHeads() + head) * shape.headDim;
      const std::vector<double> weights = weighExactly(cache, head / shape.group, query, scaleOf(shape), range(first, last + 1));
      for (int i = 0; i <= last - first; ++i) mass[static_cast<std::size_t>(head * stride + first + i)] += weights[i];
    }
  }
  return mass;
}

void testMassOfRandomShapes(const NamedIsa& isa, Random& random) {
  TestContext one(isa.isa, 1), two(isa.isa, 2), seven(isa.isa, 7);
  for (int round = 0; round < 60; ++round) {
    const Shape shape = drawShape(random);
    const int tokens = drawInt(random, 1, round % 10 == 0 ? 700 : 150), rows = drawInt(random, 1, std::min(tokens, 70));
    const int window = drawInt(random, 0, 2) == 0 ? drawInt(random, 1, 200) : 0, stride = tokens + drawInt(random, 0, 5);
    const Cache cache(one, random, shape, {tokens}, drawInt(random, 0, 1) ? 1.0f : 3.0f);
    const std::vector<float> q = drawNormal(random, static_cast<std::size_t>(rows * shape.numHeads() * shape.headDim));
    std::vector<float> mass(static_cast<std::size_t>(shape.numHeads() * stride), 0.0f);
    addMass(one, cache, q.data(), rows, tokens, window, mass.data(), static_cast<std::size_t>(stride));
    const double error = relativeError(mass.data(), massExactly(cache, q, rows, tokens, window, stride));
    check(error <= kMassError, "mass error", isa.name, error);
    for (int head = 0; head < shape.numHeads(); ++head) {
      double sum = 0.0;
      for (int i = 0; i < stride; ++i) sum += mass[static_cast<std::size_t>(head * stride + i)];
      check(std::fabs(sum - rows) <= 1e-4 * rows, "mass of all keys is the number of rows", isa.name, sum - rows);
      for (int i = tokens; i < stride; ++i) check(mass[static_cast<std::size_t>(head * stride + i)] == 0.0f, "nothing beyond the end", isa.name);
    }
    const std::vector<float> lse = lseOf(two, cache, q, rows, tokens, window);
    std::vector<float> known(mass.size(), 0.0f);
    addMass(two, cache, q.data(), rows, tokens, window, known.data(), static_cast<std::size_t>(stride), lse.data());
    const double knownError = relativeError(known.data(), std::vector<double>(mass.begin(), mass.end()));
    check(knownError <= kMassError, "mass with known lse", isa.name, knownError);
    for (Context* context : {static_cast<Context*>(&two), static_cast<Context*>(&seven)}) {
      std::vector<float> again(mass.size(), 0.0f);
      addMass(*context, cache, q.data(), rows, tokens, window, again.data(), static_cast<std::size_t>(stride));
      check(sameBits(again, mass), "threads give the same bits", isa.name, context->workers());
    }
  }
}

// Rows anywhere: the sum of the masses of each of them alone, and the last rows by name as without names.
void testMassOfRowsAnywhere(const NamedIsa& isa, Random& random) {
  TestContext one(isa.isa, 1), two(isa.isa, 2);
  for (int round = 0; round < 24; ++round) {
    const Shape shape = drawShape(random);
    const int tokens = drawInt(random, 1, round % 6 == 0 ? 700 : 150), stride = tokens + 3;
    const int window = drawInt(random, 0, 2) == 0 ? drawInt(random, 1, 200) : 0;
    const Cache cache(one, random, shape, {tokens});
    const std::size_t rowValues = static_cast<std::size_t>(shape.numHeads() * shape.headDim);
    std::vector<std::int32_t> positions;
    std::bernoulli_distribution taken(round % 3 == 0 ? 0.04 : 0.3);
    for (int index = 0; index < tokens; ++index) {
      if (taken(random) || index == tokens / 2) positions.push_back(index);
    }
    const int rows = static_cast<int>(positions.size());
    const std::vector<float> q = drawNormal(random, static_cast<std::size_t>(rows) * rowValues);
    std::vector<float> got(static_cast<std::size_t>(shape.numHeads() * stride), 0.0f), want = got, known = got, again = got;
    for (int r = 0; r < rows; ++r)
      addMass(one, cache, q.data() + static_cast<std::size_t>(r) * rowValues, 1, positions[static_cast<std::size_t>(r)] + 1, window,
              want.data(), static_cast<std::size_t>(stride));
    const std::int32_t rowStarts[] = {0, rows}, seen[] = {tokens};
    const Batch batch = {1, rowStarts, seen, cache.pageStarts.data(), cache.pages.data(), positions.data()};
    const auto add = [&](Context& context, const float* lse, std::vector<float>& mass) {
      attentionMass(context, cache.view, shape.layer, q.data(), shape.numHeads(), scaleOf(shape), window, batch, lse,
                    mass.data(), static_cast<std::size_t>(stride));
    };
    add(one, nullptr, got);
    const double error = relativeError(got.data(), std::vector<double>(want.begin(), want.end()));
    check(error <= kMassError, "mass of rows anywhere", isa.name, error);
    add(two, nullptr, again);
    check(sameBits(again, got), "threads give the same bits to rows anywhere", isa.name);
    std::vector<float> out(q.size()), lse(static_cast<std::size_t>(rows * shape.numHeads()));
    attendPrefill(two, cache.view, shape.layer, q.data(), shape.numHeads(), scaleOf(shape), window, batch, out.data(), lse.data());
    add(two, lse.data(), known);
    const double knownError = relativeError(known.data(), std::vector<double>(got.begin(), got.end()));
    check(knownError <= kMassError, "mass of rows anywhere with known lse", isa.name, knownError);

    std::vector<std::int32_t> last = range(tokens - rows, tokens);
    std::vector<float> named(got.size(), 0.0f), unnamed = named;
    addMass(one, cache, q.data(), rows, tokens, window, unnamed.data(), static_cast<std::size_t>(stride));
    positions = last;
    const Batch lastRows = {1, rowStarts, seen, cache.pageStarts.data(), cache.pages.data(), positions.data()};
    attentionMass(one, cache.view, shape.layer, q.data(), shape.numHeads(), scaleOf(shape), window, lastRows, nullptr,
                  named.data(), static_cast<std::size_t>(stride));
    check(sameBits(named, unnamed), "the last rows by name", isa.name);
  }
}

// Chunks add up to the whole; a second call adds to the first.
void testChunksAddUp(const NamedIsa& isa, Random& random) {
  TestContext context(isa.isa, 2);
  const Shape shape = {2, 3, 64, KvType::f16};
  const int tokens = 300;
  const std::size_t rowValues = static_cast<std::size_t>(shape.numHeads() * shape.headDim);
  for (int window : {0, 90}) {
    const Cache cache(context, random, shape, {tokens});
    const std::vector<float> q = drawNormal(random, tokens * rowValues);
    std::vector<float> whole(static_cast<std::size_t>(shape.numHeads() * tokens), 0.0f), sum = whole;
    addMass(context, cache, q.data(), tokens, tokens, window, whole.data(), tokens);
    for (int first = 0, end = 0; first < tokens; first = end) {
      end = std::min(tokens, first + drawInt(random, 1, 130));
      addMass(context, cache, q.data() + first * rowValues, end - first, end, window, sum.data(), tokens);
    }
    const double error = relativeError(sum.data(), std::vector<double>(whole.begin(), whole.end()));
    check(error <= 1e-6, "chunks add up to the whole", isa.name, error);
  }
}

// Rows that no query sees may hold anything, and so may scores that are vast.
void testMassIgnoresUnseenRows(const NamedIsa& isa, Random& random) {
  TestContext context(isa.isa, 1);
  const Shape shape = {1, 3, 64, KvType::f32};
  Cache cache(context, random, shape, {200});
  const std::vector<float> q = drawNormal(random, static_cast<std::size_t>(20 * shape.numHeads() * shape.headDim));
  std::vector<float> before(static_cast<std::size_t>(shape.numHeads() * 200), 0.0f);
  addMass(context, cache, q.data(), 20, 130, 40, before.data(), 200);
  for (float poison : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 0.0f}) {
    std::fill(cache.keys[0].begin(), cache.keys[0].begin() + 71 * shape.headDim, poison);
    std::fill(cache.keys[0].begin() + 130 * shape.headDim, cache.keys[0].end(), poison);
    cache.write(context, 0, 0, 200);
    std::vector<float> after(before.size(), 0.0f);
    addMass(context, cache, q.data(), 20, 130, 40, after.data(), 200);
    check(sameBits(before, after), "unseen rows do not leak", isa.name, poison);
  }
  for (float& key : cache.keys[0]) key = 1e4f;
  std::fill_n(cache.keys[0].begin() + 5 * shape.headDim, shape.headDim, 3e4f);
  cache.write(context, 0, 0, 200);
  const std::vector<float> ones(static_cast<std::size_t>(shape.numHeads() * shape.headDim), 1.0f);
  std::vector<float> mass(before.size(), 0.0f);
  addMass(context, cache, ones.data(), 1, 200, 0, mass.data(), 200);
  check(mass[5] == 1.0f && mass[6] == 0.0f && mass[199] == 0.0f, "the largest of vast scores takes all", isa.name);
}

void testAbortedMassReturns(const NamedIsa& isa, Random& random) {
  TestContext context(isa.isa, 2);
  const Shape shape = {3, 3, 64, KvType::f16};
  const Cache cache(context, random, shape, {700});
  const std::vector<float> q = drawNormal(random, static_cast<std::size_t>(700 * shape.numHeads() * shape.headDim));
  std::vector<float> mass(static_cast<std::size_t>(shape.numHeads() * 700), 0.0f);
  context.abort(true);
  addMass(context, cache, q.data(), 700, 700, 0, mass.data(), 700);
  check(*std::max_element(mass.begin(), mass.end()) == 0.0f, "an aborted mass returns before it has written", isa.name);
}

void testWeightsOverChosenRows(const NamedIsa& isa, Random& random) {
  TestContext context(isa.isa, 1);
  for (int round = 0; round < 60; ++round) {
    const Shape shape = drawShape(random);
    const int tokens = drawInt(random, 1, 400), kvHead = drawInt(random, 0, shape.numKvHeads - 1);
    const Cache cache(context, random, shape, {tokens});
    std::vector<int> indices = range(0, tokens);
    std::shuffle(indices.begin(), indices.end(), random);
    indices.resize(static_cast<std::size_t>(drawInt(random, 1, tokens)));
    const std::vector<float> q = drawNormal(random, static_cast<std::size_t>(shape.group * shape.headDim));
    std::vector<float> got(indices.size() * static_cast<std::size_t>(shape.group), -1.0f);
    attentionWeights(isa.isa, cache.view, shape.layer, kvHead, cache.pages.data(), q.data(), shape.group, indices.data(),
                     static_cast<int>(indices.size()), scaleOf(shape), got.data());
    for (int h = 0; h < shape.group; ++h) {
      const std::vector<double> want = weighExactly(cache, kvHead, q.data() + h * shape.headDim, scaleOf(shape), indices);
      const double error = relativeError(got.data() + static_cast<std::size_t>(h) * indices.size(), want);
      check(error <= 5e-6, "weights error", isa.name, error);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned seed = argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 1u;
  for (const NamedIsa& isa : availableIsas()) {
    Random random(seed);
    testMassOfRandomShapes(isa, random);
    testMassOfRowsAnywhere(isa, random);
    testChunksAddUp(isa, random);
    testMassIgnoresUnseenRows(isa, random);
    testAbortedMassReturns(isa, random);
    testWeightsOverChosenRows(isa, random);
    std::printf("%s done\n", isa.name);
  }
  return check.report("attention mass");
}
