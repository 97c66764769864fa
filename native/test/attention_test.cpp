// Decode attention against float64 on the stored bits, for each instruction set, what it has in common with prefill, and
// the bitwise promises of attention.h.
#include "attention_case.h"
#include "attention_check.h"
#include "test_context.h"

using namespace kvasir;
using namespace kvasir::test;

namespace {

constexpr double kDecodeError = 5e-6;
constexpr double kLseError = 1e-4;

Checks check;

// Ascending runs, one row a (sequence, KV head) or one a (sequence, query head).
struct Lists {
  std::vector<std::int32_t> rowStarts{0};
  std::vector<KvRun> runs;
  bool perQueryHead = false;
  RunRows view() const { return {rowStarts.data(), runs.data(), perQueryHead}; }
  void close() { rowStarts.push_back(static_cast<std::int32_t>(runs.size())); }
  std::vector<int> indices(int row) const {
    std::vector<int> all;
    for (int run = rowStarts[row]; run < rowStarts[row + 1]; ++run) {
      for (int i = 0; i < runs[run].len; ++i) all.push_back(runs[run].page * kPageTokens + runs[run].first + i);
    }
    return all;
  }
};

// Each index is kept with the given chance; consecutive kept indices of a page form a run of at most `longest`.
void addRow(Lists& lists, Random& random, int tokens, double keep, int longest) {
  std::bernoulli_distribution kept(keep);
  bool open = false;
  for (int index = 0; index < tokens; ++index) {
    const bool takes = kept(random);
    if (takes && open && index % kPageTokens != 0 && lists.runs.back().len < longest) ++lists.runs.back().len;
    else if (takes) lists.runs.push_back({index / kPageTokens, index % kPageTokens, 1});
    open = takes;
  }
  lists.close();
}

Lists splitRuns(const Lists& lists) {
  Lists split;
  for (std::size_t row = 0; row + 1 < lists.rowStarts.size(); ++row) {
    for (int i = lists.rowStarts[row]; i < lists.rowStarts[row + 1]; ++i) {
      const KvRun run = lists.runs[i];
      const int half = run.len / 2;
      if (half > 0) split.runs.push_back({run.page, run.first, half});
      split.runs.push_back({run.page, run.first + half, run.len - half});
    }
    split.close();
  }
  return split;
}

// The same rows, once for each query head of a group.
Lists expandRows(const Lists& lists, int group) {
  Lists expanded;
  expanded.perQueryHead = true;
  for (std::size_t row = 0; row + 1 < lists.rowStarts.size(); ++row) {
    for (int head = 0; head < group; ++head) {
      expanded.runs.insert(expanded.runs.end(), lists.runs.begin() + lists.rowStarts[row],
                           lists.runs.begin() + lists.rowStarts[row + 1]);
      expanded.close();
    }
  }
  return expanded;
}

struct Attended {
  std::vector<float> out, lse;
};

Attended runs(Context& context, const Cache& cache, const std::vector<float>& q, const Lists& lists, float scale,
              bool byAddress = false) {
  Lists listed = lists;
  std::vector<const std::uint8_t*> keys;
  RunRows rows = listed.view();
  if (byAddress) {
    for (std::size_t row = 0; row + 1 < lists.rowStarts.size(); ++row) {
      const std::size_t head = row % static_cast<std::size_t>(cache.shape.numKvHeads);
      for (int index : lists.indices(static_cast<int>(row)))
        keys.push_back(cache.keyRow(row / static_cast<std::size_t>(cache.shape.numKvHeads), index, head));
      listed.rowStarts[row + 1] = static_cast<std::int32_t>(keys.size());
    }
    const std::uint8_t* none = nullptr;
    rows = {listed.rowStarts.data(), nullptr, false, keys.empty() ? &none : keys.data()};
  }
  const float poison = std::numeric_limits<float>::quiet_NaN();
  const std::size_t heads = cache.contextTokens.size() * static_cast<std::size_t>(cache.shape.numHeads());
  Attended got{std::vector<float>(heads * cache.shape.headDim, poison), std::vector<float>(heads, poison)};
  attendRuns(context, cache.view, cache.shape.layer, q.data(), cache.shape.numHeads(), scale, cache.batch({}),
             rows, got.out.data(), got.lse.data());
  return got;
}

void checkRunsAgainstExact(const char* name, const Cache& cache, const std::vector<float>& q, const Lists& lists,
                           float scale, const Attended& got) {
  const Shape& shape = cache.shape;
  std::vector<double> want;
  for (int s = 0; s < static_cast<int>(cache.contextTokens.size()); ++s) {
    for (int head = 0; head < shape.numHeads(); ++head) {
      const int at = s * shape.numHeads() + head, kvHead = head / shape.group;
      const std::vector<int> indices = lists.indices(s * shape.numKvHeads + kvHead);
      const double lse = attendExactly(cache, s, kvHead, q.data() + at * shape.headDim, scale, indices, want);
      const double error =
          relativeError(got.out.data() + at * shape.headDim, want, usualSize(shape.headDim, indices.size()));
      check(error <= kDecodeError, "decode error", name, error);
      const bool sameLse =
          indices.empty() ? got.lse[at] == static_cast<float>(lse) : std::fabs(got.lse[at] - lse) <= kLseError;
      check(sameLse, "decode lse", name, got.lse[at] - lse);
    }
  }
}

void testRunsOfRandomShapes(const NamedIsa& isa, Random& random) {
  TestContext one(isa.isa, 1), two(isa.isa, 2), seven(isa.isa, 7);
  for (int round = 0; round < 110; ++round) {
    const Shape shape = drawShape(random);
    std::vector<int> tokens;
    for (int s = drawInt(random, 0, 3); s > 0; --s)
      tokens.push_back(drawInt(random, 0, 4) == 0 ? drawInt(random, 0, 1) : drawInt(random, 1, 300));
    if (round % 20 == 0) tokens.assign(1, drawInt(random, 1500, 2500));
    const Cache cache(one, random, shape, tokens);
    const double chances[] = {0.1, 0.5, 0.97, 1.0};
    Lists lists;
    for (int count : tokens) {
      const double keep = chances[drawInt(random, 0, 3)];
      for (int head = 0; head < shape.numKvHeads; ++head)
        addRow(lists, random, count, drawInt(random, 0, 9) == 0 ? 0.0 : keep, drawInt(random, 1, 16));
    }
    const std::vector<float> q =
        drawNormal(random, tokens.size() * static_cast<std::size_t>(shape.numHeads() * shape.headDim));
    const float scale = scaleOf(shape);
    const Attended got = runs(one, cache, q, lists, scale);
    checkRunsAgainstExact(isa.name, cache, q, lists, scale, got);
    const Attended halved = runs(one, cache, q, splitRuns(lists), scale);
    check(sameBits(halved.out, got.out) && sameBits(halved.lse, got.lse), "runs cut in two give the same bits",
          isa.name);
    const Attended addressed = runs(two, cache, q, lists, scale, true);
    check(sameBits(addressed.out, got.out) && sameBits(addressed.lse, got.lse), "rows by address give the same bits",
          isa.name);
    const Attended alone = runs(two, cache, q, expandRows(lists, shape.group), scale);
    check(sameBits(alone.out, got.out) && sameBits(alone.lse, got.lse), "a row a query head gives the same bits",
          isa.name, shape.group);
    for (Context* context : {static_cast<Context*>(&two), static_cast<Context*>(&seven)}) {
      const Attended again = runs(*context, cache, q, lists, scale);
      check(sameBits(again.out, got.out) && sameBits(again.lse, got.lse), "threads give the same bits", isa.name,
            context->workers());
    }
  }
}

Lists everything(const Shape& shape, int tokens) {
  Lists lists;
  for (int head = 0; head < shape.numKvHeads; ++head) {
    for (int page = 0; page * kPageTokens < tokens; ++page)
      lists.runs.push_back({page, 0, std::min(kPageTokens, tokens - page * kPageTokens)});
    lists.close();
  }
  return lists;
}

void testOneTokenIsReturnedExactly(const NamedIsa& isa, Random& random) {
  TestContext context(isa.isa, 1);
  for (int headDim : kHeadDims) {
    const Shape shape = {2, 3, headDim, KvType::f16};
    const Cache cache(context, random, shape, {1});
    const std::vector<float> q = drawNormal(random, static_cast<std::size_t>(shape.numHeads() * headDim));
    const std::vector<float> decoded = runs(context, cache, q, everything(shape, 1), scaleOf(shape)).out;
    const std::vector<float> prefilled = prefill(context, cache, q, {0, 1}, scaleOf(shape), 0);
    for (int i = 0; i < shape.numHeads() * headDim; ++i) {
      const float value = cache.at(true, 0, 0, i / headDim / shape.group, i % headDim);
      check(decoded[i] == value && prefilled[i] == value, "one token is returned exactly", isa.name, headDim);
    }
  }
}

// Scores of +-1e4: the largest one wins alone. All equal: the mean. Both in decode and prefill.
void testExtremeScores(const NamedIsa& isa, Random& random) {
  TestContext context(isa.isa, 1);
  const Shape shape = {1, 3, 64, KvType::f32};
  const int tokens = 150;
  Cache cache(context, random, shape, {tokens});
  std::vector<float> q(static_cast<std::size_t>(shape.numHeads() * shape.headDim), 1.0f);
  std::vector<double> want;
  for (const bool equal : {false, true}) {
    for (int t = 0; t < tokens; ++t) {
      const float score = equal ? 5.0f : (t % 2 ? -1e4f : 1e4f - static_cast<float>(t));
      std::fill_n(cache.keys[0].begin() + t * shape.headDim, shape.headDim, score / static_cast<float>(shape.headDim));
    }
    cache.write(context, 0, 0, tokens);
    std::vector<int> all;
    for (int t = 0; t < tokens; ++t) all.push_back(t);
    attendExactly(cache, 0, 0, q.data(), 1.0, all, want);
    const std::vector<float> decoded = runs(context, cache, q, everything(shape, tokens), 1.0f).out;
    const std::vector<float> prefilled = prefill(context, cache, q, {0, 1}, 1.0f, 0);
    // A score of 1e4 is rounded to 5e-4 in float32, and so are the weights.
    const double tolerance = equal ? kDecodeError : 4e-3;
    for (int h = 0; h < 3; ++h) {
      check(relativeError(decoded.data() + h * shape.headDim, want) <= tolerance, "extreme scores, decode", isa.name,
            equal);
      check(relativeError(prefilled.data() + h * shape.headDim, want) <= tolerance, "extreme scores, prefill", isa.name,
            equal);
    }
  }
}

void testDecodeAgreesWithPrefill(const NamedIsa& isa, Random& random) {
  TestContext context(isa.isa, 2);
  for (int tokens : {1, 16, 63, 512, 513, 1200}) {
    const Shape shape = {3, 3, 64, KvType::f16};
    const Cache cache(context, random, shape, {tokens});
    const std::vector<float> q = drawNormal(random, static_cast<std::size_t>(shape.numHeads() * shape.headDim));
    const std::vector<float> decoded = runs(context, cache, q, everything(shape, tokens), scaleOf(shape)).out;
    const std::vector<float> prefilled = prefill(context, cache, q, {0, 1}, scaleOf(shape), 0);
    const double error = relativeError(decoded.data(), std::vector<double>(prefilled.begin(), prefilled.end()));
    check(error <= 2e-6, "decode agrees with prefill", isa.name, error);
  }
}

void testAbortedOpsReturn(const NamedIsa& isa, Random& random) {
  TestContext context(isa.isa, 2);
  const Shape shape = {3, 3, 64, KvType::f16};
  const Cache cache(context, random, shape, {700});
  const std::vector<float> q = drawNormal(random, static_cast<std::size_t>(700 * shape.numHeads() * shape.headDim));
  context.abort(true);
  const std::vector<float> out = prefill(context, cache, q, {0, 700}, scaleOf(shape), 0);
  check(std::isnan(out[0]) && std::isnan(out.back()), "an aborted prefill returns before it has written", isa.name);
  runs(context, cache, q, everything(shape, 700), scaleOf(shape));
}

// Every float16 and every boundary between two of them, through writeKv and readKv.
void testStoredRowsRoundAndSaturate(const NamedIsa& isa, Random& random) {
  TestContext context(isa.isa, 2);
  std::vector<float> inputs = {0.0f,     -0.0f,     65504.0f, 65519.9f, 65520.0f,   1e9f,     -1e9f,  3.4e38f,
                               INFINITY, -INFINITY, 0x1p-24f, 0x1p-25f, 0x1.8p-25f, 0x1p-26f, 6.1e-5f};
  for (int i = 0; i < 40000; ++i) inputs.push_back(std::ldexp(drawNormal(random, 1)[0], drawInt(random, -27, 18)));
  for (int i = 0; i < 2048; ++i) inputs.push_back((1.0f + (static_cast<float>(i) + 0.5f) * 0x1p-10f) * 0x1p-3f);
  const Shape shape = {1, 1, 7, KvType::f16};
  inputs.resize(inputs.size() / 7 * 7);
  const int tokens = static_cast<int>(inputs.size()) / 7;
  Cache cache(context, random, shape, {tokens});
  cache.keys[0] = inputs;
  cache.write(context, 0, 0, tokens);
  std::vector<float> got(inputs.size());
  readKv(cache.view, shape.layer, 0, false, cache.pages.data(), 0, tokens, got.data());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const float want = toHalfAndBack(inputs[i]);
    check(std::memcmp(&want, &got[i], 4) == 0, "stored half", isa.name, inputs[i]);
  }
  std::vector<float> part(7 * 5);
  readKv(cache.view, shape.layer, 0, false, cache.pages.data(), 13, 18, part.data());
  check(std::memcmp(part.data(), got.data() + 13 * 7, part.size() * 4) == 0, "a part of the rows", isa.name);
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned seed = argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 1u;
  for (const NamedIsa& isa : availableIsas()) {
    Random random(seed);
    testStoredRowsRoundAndSaturate(isa, random);
    testRunsOfRandomShapes(isa, random);
    testOneTokenIsReturnedExactly(isa, random);
    testExtremeScores(isa, random);
    testDecodeAgreesWithPrefill(isa, random);
    testAbortedOpsReturn(isa, random);
    std::printf("%s done\n", isa.name);
  }
  return check.report("attention");
}
