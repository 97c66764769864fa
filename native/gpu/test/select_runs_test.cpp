// selectRuns against the rule in double precision: the same rows, but for those whose value is as good as where a cut ends.
#include "select_runs_slots.h"

namespace kvasir::gpu::test {
namespace {

using namespace select_runs;

// Values of a row's tokens beside the visible ones; scoresOf(head, token).
template <class ScoreOf, class VisibleOf>
std::vector<Candidate> valued(int row, const std::vector<std::int32_t>& tokens, const std::vector<std::int32_t>& visible, int firstHead, int heads,
                              ScoreOf scoreOf, VisibleOf visibleOf) {
  std::vector<double> values(tokens.size(), 0.0);
  for (int head = firstHead; head < firstHead + heads; ++head) {
    std::vector<double> scores;
    double sum = 0.0;
    for (const std::int32_t token : tokens) scores.push_back(scoreOf(head, token));
    for (const double score : scores) sum += std::exp(score);
    for (const std::int32_t token : visible) sum += std::exp(visibleOf(head, token));
    for (std::size_t i = 0; i < tokens.size(); ++i) values[i] += std::exp(scores[i]) / sum;
  }
  std::vector<Candidate> out;
  for (std::size_t i = 0; i < tokens.size(); ++i) out.push_back({row, tokens[i], static_cast<float>(values[i])});
  return out;
}

// What may differ: values this near to the lowest that a row keeps.
constexpr double kNear = 2e-4;

bool nearCut(const std::vector<Candidate>& candidates, const std::vector<std::int32_t>& kept, std::int32_t token) {
  double cut = std::numeric_limits<double>::infinity(), own = -1.0;
  for (const Candidate& candidate : candidates) {
    if (candidate.token == token) own = static_cast<double>(candidate.value);
    if (std::binary_search(kept.begin(), kept.end(), candidate.token)) cut = std::min(cut, static_cast<double>(candidate.value));
  }
  return own >= 0.0 && std::fabs(own - cut) <= kNear * cut;
}

void checkSequence(Case& c, const Data& d, std::size_t which, const std::vector<std::vector<std::int32_t>>& got, const std::int32_t* counts) {
  const Shape& s = d.s;
  const Sequence& sequence = d.sequences[which];
  const int rows = s.perQueryHead ? s.kvHeads * s.group : s.kvHeads, heads = s.perQueryHead ? 1 : s.group;
  const int indexed = s.exact ? sequence.numTokens : sequence.indexed;
  const int end = std::max(0, std::min(indexed, sequence.numTokens - s.recent)), first = std::min(s.sinks, end);
  const bool exact = s.exact || sequence.coded == 0;
  std::vector<std::vector<double>> estimated;
  for (int head = 0; head < s.kvHeads * s.group && !exact; ++head) estimated.push_back(estimates(d, which, head));
  const auto exactly = [&](int head, std::int32_t token) { return d.exactScore(sequence, head, token); };

  std::vector<std::vector<std::int32_t>> visible, candidates;
  std::vector<int> wanted, pooled;
  bool none = true, everything = true;
  for (int row = 0; row < rows; ++row) {
    visible.emplace_back();
    candidates.emplace_back();
    for (int token = 0; token < sequence.numTokens; ++token) {
      if (sequence.keeps(row * heads / s.group, token)) (token < first || token >= end ? visible : candidates).back().push_back(token);
    }
    const int all = static_cast<int>(candidates.back().size());
    wanted.push_back(std::min(all, std::max(0, s.budget - static_cast<int>(visible.back().size()))));
    pooled.push_back(exact || s.pool == 0 ? wanted.back() : std::max(wanted.back(), std::min(s.pool, all)));
    none = none && wanted.back() == 0;
    everything = everything && wanted.back() == all;
  }
  std::vector<std::vector<Candidate>> firstValues, finalValues;
  for (int row = 0; row < rows; ++row) {
    const std::vector<std::int32_t>& own = candidates[static_cast<std::size_t>(row)];
    const std::vector<std::int32_t>& seen = visible[static_cast<std::size_t>(row)];
    const auto byEstimate = [&](int head, std::int32_t token) { return estimated[static_cast<std::size_t>(head)][static_cast<std::size_t>(token)]; };
    // Visible tokens count as the estimated query sees them.
    const auto estimatedVisible = [&](int head, std::int32_t token) {
      double sum = 0.0;
      const std::uint8_t* row = d.cache.data() + d.rowAt(sequence, head / s.group, token);
      for (int i = 0; i < s.dim; ++i) {
        float x;
        std::uint16_t half;
        std::memcpy(&half, row + 2 * i, 2);
        if (s.type == KVASIR_F16) x = fromHalf(half);
        else std::memcpy(&x, row + 4 * i, 4);
        sum += static_cast<double>(d.queryOf(d.estimateQ, which, head)[i]) * static_cast<double>(x);
      }
      return sum * static_cast<double>(d.scale);
    };
    if (exact) firstValues.push_back(valued(row, own, seen, row * heads, heads, exactly, exactly));
    else firstValues.push_back(valued(row, own, seen, row * heads, heads, byEstimate, estimatedVisible));
  }
  const std::vector<std::vector<std::int32_t>> pool = chooseBudget(firstValues, pooled, s.joint);
  std::vector<std::vector<std::int32_t>> chosen = pool;
  if (!exact && s.pool > 0) {
    for (int row = 0; row < rows; ++row) {
      finalValues.push_back(valued(row, pool[static_cast<std::size_t>(row)], visible[static_cast<std::size_t>(row)], row * heads, heads, exactly, exactly));
    }
    chosen = chooseBudget(finalValues, wanted, s.joint);
  }
  int apart = 0;
  for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
    std::vector<std::int32_t> want = visible[row], difference;
    want.insert(want.end(), chosen[row].begin(), chosen[row].end());
    std::sort(want.begin(), want.end());
    std::set_symmetric_difference(want.begin(), want.end(), got[row].begin(), got[row].end(), std::back_inserter(difference));
    for (const std::int32_t token : difference) {
      const bool near = nearCut(firstValues[row], pool[row], token) || (!finalValues.empty() && nearCut(finalValues[row], chosen[row], token));
      c.check(near, "sequence " + std::to_string(which) + ", row " + std::to_string(row) + ": token " + std::to_string(token) +
                        (std::binary_search(want.begin(), want.end(), token) ? " is missing" : " is not among the best"));
    }
    apart += static_cast<int>(difference.size());
    c.check(counts[2 * row] == static_cast<std::int32_t>(got[row].size()), "count of rows chosen");
    const int scored = none || everything ? 0 : exact ? static_cast<int>(candidates[row].size()) : s.pool > 0 ? static_cast<int>(pool[row].size()) : 0;
    c.check(std::abs(counts[2 * row + 1] - scored) <= 4, "count of keys scored");
  }
  c.check(apart <= 8, "more than a few rows differ");
}

void run(Case& c, const Shape& s) {
  const Data d = draw(c, s);
  const int rows = s.perQueryHead ? s.kvHeads * s.group : s.kvHeads, maxRuns = s.sequences * rows * s.tokens + 1;
  const Slots slots(c, d);
  const auto cache = c.upload(slots.cache);
  const auto q = c.upload(d.q), estimateQ = c.upload(d.estimateQ);
  std::vector<Buffer<std::uint8_t>> indexes;
  std::vector<Buffer<std::int32_t>> lists;
  std::vector<Buffer<std::uint64_t>> kept;
  std::vector<KvasirSelectSequence> sequences;
  for (const Sequence& own : d.sequences) {
    KvasirSelectSequence sequence{};
    indexes.push_back(c.upload(own.index));
    kvasirSelectIndex(&sequence, indexes.back().get(), &own.layout);
    lists.push_back(c.upload(own.segmentOf));
    sequence.segmentOf = lists.back().get();
    lists.push_back(c.upload(own.pages));
    sequence.pages = lists.back().get();
    kept.push_back(c.upload(own.kept));
    sequence.kept = own.kept.empty() ? nullptr : kept.back().get();
    sequence.keptStride = own.keptStride;
    sequence.keptEnd = own.keptEnd;
    sequence.numTokens = own.numTokens;
    sequence.indexedTokens = own.indexed;
    sequence.numSegments = own.coded == 0 ? 0 : static_cast<std::int32_t>(own.ends.size());
    sequence.codedTokens = own.coded;
    sequences.push_back(sequence);
  }
  const auto deviceSequences = c.upload(sequences);
  const auto rowStarts = c.poisoned<std::int32_t>(static_cast<std::size_t>(s.sequences * rows + 1));
  const auto runs = c.poisoned<KvasirKvRun>(static_cast<std::size_t>(maxRuns));
  const auto counts = c.poisoned<std::int32_t>(static_cast<std::size_t>(2 * s.sequences * rows));
  KvasirSelectRunsArgs args{};
  args.kv = d.view;
  args.kv.base = cache.get();
  args.hot = slots.hot();
  args.layer = kLayer;
  args.numHeads = s.kvHeads * s.group;
  args.q = q.get();
  args.estimateQ = s.otherQuery ? estimateQ.get() : q.get();
  args.scale = d.scale;
  args.index = d.indexShape;
  args.sequences = deviceSequences.get();
  args.numSequences = s.sequences;
  args.maxTokens = s.tokens;
  args.maxSegments = s.tokens;
  args.budgetTokens = s.budget;
  args.sinkTokens = s.sinks;
  args.recentTokens = s.recent;
  args.poolTokens = s.pool;
  args.jointHeads = s.joint ? 1 : 0;
  args.perQueryHead = s.perQueryHead ? 1 : 0;
  args.exact = s.exact ? 1 : 0;
  const auto isCoded = [](const Sequence& own) { return own.coded > 0; };
  args.allCoded = std::all_of(d.sequences.begin(), d.sequences.end(), isCoded) ? 1 : 0;
  args.rowStarts = rowStarts.get();
  args.runs = runs.get();
  args.maxRuns = maxRuns;
  args.counts = counts.get();
  const auto workspace = c.poisoned<std::uint8_t>(kvasirSelectRunsBytes(&args), true);
  args.workspace = workspace.get();
  c.ok(c.gpu.selectRuns(c.stream, &args), "selectRuns");
  const std::vector<std::int32_t> starts = c.download(rowStarts), gotCounts = c.download(counts);
  const std::vector<KvasirKvRun> gotRuns = c.download(runs);
  slots.checkCount(c, d);
  c.check(starts[0] == (s.sequences == 0 ? static_cast<std::int32_t>(0xCDCDCDCD) : 0), "the first row starts at 0");
  for (int which = 0; which < s.sequences; ++which) {
    std::vector<std::vector<std::int32_t>> got;
    for (int row = which * rows; row < (which + 1) * rows; ++row) {
      got.emplace_back();
      const std::size_t from = static_cast<std::size_t>(starts[static_cast<std::size_t>(row)]), to = static_cast<std::size_t>(starts[static_cast<std::size_t>(row) + 1]);
      c.check(from <= to && to < gotRuns.size(), "row starts ascend");
      for (std::size_t r = from; r < to; ++r) {
        const KvasirKvRun& run = gotRuns[r];
        const int token = run.page * 16 + run.first;
        c.check(run.len >= 1 && run.first >= 0 && run.first + run.len <= 16 && run.page >= 0, "a run lies in a page");
        c.check(got.back().empty() || token > got.back().back() + (run.first == 0 ? 0 : 1), "runs ascend and are as long as can be");
        for (int i = 0; i < run.len; ++i) got.back().push_back(token + i);
      }
    }
    checkSequence(c, d, static_cast<std::size_t>(which), got, gotCounts.data() + 2 * which * rows);
  }
}

Shape with(Shape s, int codeBits, int vectorBits) {
  s.codeBits = codeBits;
  s.vectorBits = vectorBits;
  return s;
}

std::vector<Shape> shapesOf(bool quick) {
  std::vector<Shape> shapes;
  const Shape base = {KVASIR_F16, 2, 3, 64};
  for (const int dim : {32, 64, 80, 96, 128}) shapes.push_back({KVASIR_F16, 2, 3, dim});
  for (const int group : {1, 2, 4, 5, 8, 16}) {
    Shape s = {KVASIR_F16, 2, group, 32};
    s.tokens = 300;
    s.budget = 60;
    s.pool = 110;
    shapes.push_back(s);
  }
  for (const int bits : {1, 4}) shapes.push_back(with(base, bits, 16));
  shapes.push_back(with({KVASIR_F32, 2, 2, 20}, 2, 16));
  shapes.push_back(with({KVASIR_F32, 1, 4, 4}, 1, 8));
  shapes.push_back(with({KVASIR_F32, 1, 2, 256}, 4, 8));
  const auto add = [&](auto change) {
    Shape s = base;
    change(s);
    shapes.push_back(s);
  };
  for (const bool joint : {true, false}) {
    add([&](Shape& s) { s.joint = joint, s.pool = 0; });
    add([&](Shape& s) { s.joint = joint, s.kept = true; });
    add([&](Shape& s) { s.joint = joint, s.exact = true, s.kept = true; });
    add([&](Shape& s) { s.joint = joint, s.otherQuery = true; });
    add([&](Shape& s) { s.joint = joint, s.perQueryHead = true, s.kept = true; });
    add([&](Shape& s) { s.joint = joint, s.sequences = 3, s.mixed = true, s.kept = true, s.tokens = 400; });
    add([&](Shape& s) { s.joint = joint, s.tokens = 1500, s.dim = 32, s.budget = 200, s.pool = 400; });
  }
  for (const int tokens : {1, 2, 15, 16, 17, 33, 60, 130}) {
    add([&](Shape& s) { s.tokens = tokens, s.budget = 40, s.pool = 60, s.sequences = 2; });
  }
  for (const int budget : {0, 1, 20, 300, 5000}) {
    add([&](Shape& s) { s.tokens = 320, s.budget = budget, s.pool = 2 * budget; });
  }
  add([&](Shape& s) { s.tokens = 2100, s.sinks = 1030, s.budget = 1200, s.pool = 1300, s.kvHeads = 1, s.group = 1, s.dim = 32; });
  add([&](Shape& s) { s.tokens = 300, s.recent = 1, s.sinks = 0; });
  add([&](Shape& s) { s.sequences = 0; });
  for (const auto slots : {Shape::rows, Shape::blocks, Shape::all}) {
    add([&](Shape& s) { s.slots = slots, s.sequences = 2, s.kept = true; });
    add([&](Shape& s) { s.slots = slots, s.exact = true, s.tokens = 300; });
  }
  if (!quick) {
    add([&](Shape& s) { s.tokens = 6000, s.kvHeads = 4, s.group = 4, s.dim = 128, s.budget = 512, s.pool = 1024; });
    add([&](Shape& s) { s.tokens = 3000, s.sequences = 4, s.mixed = true, s.kept = true, s.otherQuery = true; });
  }
  return shapes;
}

}  // namespace

namespace tests {

void selectRuns(Suite& suite) {
  for (const Shape& s : shapesOf(suite.quick)) suite.run("selectRuns", nameOf(s), [&](Case& c) { run(c, s); });
  suite.run("selectRuns", "refuses what it cannot do", [](Case& c) {
    KvasirSelectRunsArgs good{};
    good.kv.type = KVASIR_F16;
    good.kv.numKvHeads = 2;
    good.kv.headDim = 64;
    good.numHeads = 4;
    good.maxTokens = 10;
    good.index = {64, 2, 8, 2, 32, 32};
    c.ok(c.gpu.selectRuns(c.stream, &good), "no sequences");
    const auto refused = [&](const char* what, auto change) {
      KvasirSelectRunsArgs args = good;
      change(args);
      c.check(c.gpu.selectRuns(c.stream, &args) == KVASIR_GPU_INVALID, what);
    };
    refused("heads that do not divide", [](KvasirSelectRunsArgs& a) { a.numHeads = 5; });
    refused("too large a group", [](KvasirSelectRunsArgs& a) { a.numHeads = 34; });
    refused("an unknown type", [](KvasirSelectRunsArgs& a) { a.kv.type = 7; });
    refused("rows of no whole vectors", [](KvasirSelectRunsArgs& a) { a.kv.headDim = a.index.headDim = 63; });
    refused("no tokens at all", [](KvasirSelectRunsArgs& a) { a.maxTokens = 0; });
    refused("a negative budget", [](KvasirSelectRunsArgs& a) { a.budgetTokens = -1; });
    refused("three bits", [](KvasirSelectRunsArgs& a) { a.index.codeBits = 3; });
    refused("an index of another headDim", [](KvasirSelectRunsArgs& a) { a.index.headDim = 32; });
    refused("slots of no units", [](KvasirSelectRunsArgs& a) {
      static std::uint8_t row[16];
      a.hot.rows = row;
    });
    refused("too many rows", [](KvasirSelectRunsArgs& a) {
      a.kv.numKvHeads = a.index.numKvHeads = a.numHeads = 41;
    });
  });
}

}  // namespace tests
}  // namespace kvasir::gpu::test
