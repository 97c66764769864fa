// selectRuns against the rule in double precision: the same rows, but for those whose value is as good as where a cut ends.
#include <cmath>
#include <limits>

#include "../../cpu/simd/half.h"
#include "choose_budget.h"
#include "suite.h"

namespace kvasir::gpu::test {
namespace {

struct Shape {
  int type, kvHeads, group, dim;
  int codeBits = 2, vectorBits = 8;
  int tokens = 700;  // of the longest sequence
  int sequences = 1;
  int budget = 96, sinks = 4, recent = 16, pool = 192;
  bool joint = true, perQueryHead = false, exact = false, kept = false, otherQuery = false, mixed = false;
};

std::string nameOf(const Shape& s) {
  char text[240];
  std::snprintf(text, sizeof(text), "%s %d x %d x %d, %d bits and %d, %d sequences of %d, budget %d (%d + %d), pool %d%s%s%s%s%s%s",
                s.type == KVASIR_F16 ? "f16" : "f32", s.kvHeads, s.group, s.dim, s.codeBits, s.vectorBits, s.sequences, s.tokens, s.budget,
                s.sinks, s.recent, s.pool, s.joint ? ", joint" : "", s.perQueryHead ? ", a row a query head" : "", s.exact ? ", exact" : "",
                s.kept ? ", not all kept" : "", s.otherQuery ? ", running query" : "", s.mixed ? ", one without codes" : "");
  return text;
}

constexpr int kLayer = 1;
constexpr double kLog2E = 1.44269504088896340736;

float fromHalf(std::uint16_t half) { return halfToFloat(half); }

// One sequence of a case with numbers of no meaning in its index: what is estimated need not be like the keys.
struct Sequence {
  int numTokens, indexed, coded, keptEnd, keptStride;
  std::vector<std::int32_t> ends, segmentOf, pages;
  std::vector<std::uint8_t> index;
  std::vector<std::uint64_t> kept;

  bool keeps(int kvHead, int token) const {
    if (kept.empty() || token >= std::min(keptEnd, numTokens - 1)) return true;
    return (kept[static_cast<std::size_t>(kvHead * keptStride + token / 64)] >> (token % 64) & 1) != 0;
  }
};

struct Data {
  Shape s;
  KvasirKvView view{};
  KvasirIndexShape indexShape{};
  KvasirIndexLayout layout{};
  std::vector<std::uint8_t> cache;
  std::vector<float> q, estimateQ;
  std::vector<Sequence> sequences;
  float scale;

  const std::uint8_t* head(const Sequence& sequence, int kvHead) const {
    return sequence.index.data() + static_cast<std::size_t>(kLayer * s.kvHeads + kvHead) * layout.bytes;
  }
  std::size_t rowAt(const Sequence& sequence, int kvHead, int token) const {
    const std::size_t rowBytes = static_cast<std::size_t>(s.dim) * (s.type == KVASIR_F16 ? 2 : 4);
    return static_cast<std::size_t>(sequence.pages[static_cast<std::size_t>(token / 16)]) * view.pageStride + kLayer * view.layerStride +
           static_cast<std::size_t>(kvHead) * view.headStride + static_cast<std::size_t>(token % 16) * rowBytes;
  }
  double exactScore(const Sequence& sequence, int head, int token) const {
    const std::uint8_t* row = cache.data() + rowAt(sequence, head / s.group, token);
    const std::size_t at = &sequence - sequences.data();
    double sum = 0;
    for (int i = 0; i < s.dim; ++i) {
      float x;
      std::uint16_t half;
      std::memcpy(&half, row + 2 * i, 2);
      if (s.type == KVASIR_F16) x = fromHalf(half);
      else std::memcpy(&x, row + 4 * i, 4);
      sum += static_cast<double>(queryOf(q, at, head)[i]) * static_cast<double>(x);
    }
    return sum * static_cast<double>(scale);
  }
  const float* queryOf(const std::vector<float>& from, std::size_t sequence, int head) const {
    return from.data() + (sequence * static_cast<std::size_t>(s.kvHeads * s.group) + static_cast<std::size_t>(head)) * static_cast<std::size_t>(s.dim);
  }
};

Data draw(Case& c, const Shape& s) {
  Data d;
  d.s = s;
  Random& random = c.random;
  const std::size_t rowBytes = static_cast<std::size_t>(s.dim) * (s.type == KVASIR_F16 ? 2 : 4);
  d.view.valueStride = 16 * rowBytes;
  d.view.headStride = 2 * d.view.valueStride;
  d.view.layerStride = static_cast<std::size_t>(s.kvHeads) * d.view.headStride;
  d.view.pageStride = 2 * d.view.layerStride;
  d.view.type = s.type;
  d.view.numKvHeads = s.kvHeads;
  d.view.headDim = s.dim;
  const int pagesEach = (s.tokens + 15) / 16, numPages = s.sequences * pagesEach;
  d.indexShape = {s.dim, s.codeBits, s.vectorBits, s.kvHeads, (s.tokens + 31) / 32 * 32, (s.tokens + 31) / 32 * 32};
  d.layout = kvasirIndexLayout(&d.indexShape);
  d.scale = 1.0f / std::sqrt(static_cast<float>(s.dim));
  // Nothing but keys that may be read is a number.
  d.cache.assign(static_cast<std::size_t>(numPages) * d.view.pageStride, 0xFF);
  const std::size_t queries = static_cast<std::size_t>(s.sequences * s.kvHeads * s.group * s.dim);
  d.q = drawNormal(random, queries, 1.6f);
  d.estimateQ = s.otherQuery ? drawNormal(random, queries, 1.6f) : d.q;
  const std::vector<std::int32_t> shuffled = drawDistinct(random, numPages, numPages);
  for (int i = 0; i < s.sequences; ++i) {
    Sequence sequence;
    sequence.numTokens = i == 0 ? s.tokens : drawInt(random, 1, s.tokens);
    sequence.pages.assign(shuffled.begin() + i * pagesEach, shuffled.begin() + (i + 1) * pagesEach);
    for (int end = 0;;) {
      end += drawInt(random, 1, 50);
      if (end > sequence.numTokens - drawInt(random, 0, 30)) break;
      sequence.ends.push_back(end);
    }
    sequence.indexed = sequence.ends.empty() ? 0 : sequence.ends.back();
    sequence.coded = s.mixed && i % 2 == 1 ? 0 : sequence.indexed;
    for (std::size_t segment = 0; segment < sequence.ends.size(); ++segment) {
      while (static_cast<int>(sequence.segmentOf.size()) < sequence.ends[segment]) sequence.segmentOf.push_back(static_cast<std::int32_t>(segment));
    }
    sequence.keptEnd = s.kept ? drawInt(random, 0, sequence.numTokens + 3) : 0;
    sequence.keptStride = (sequence.keptEnd + 63) / 64;
    for (int word = 0; s.kept && word < s.kvHeads * sequence.keptStride + 1; ++word) {
      sequence.kept.push_back((static_cast<std::uint64_t>(random()) << 32 | random()) | (static_cast<std::uint64_t>(random()) << 32 | random()));
    }
    sequence.index.assign(2 * static_cast<std::size_t>(s.kvHeads) * d.layout.bytes, 0);
    for (std::uint8_t& byte : sequence.index) byte = static_cast<std::uint8_t>(random());
    for (int h = 0; h < 2 * s.kvHeads; ++h) {
      std::uint8_t* head = sequence.index.data() + static_cast<std::size_t>(h) * d.layout.bytes;
      const std::size_t padded = static_cast<std::size_t>(d.layout.paddedChannels), dim = static_cast<std::size_t>(s.dim);
      const std::vector<std::uint16_t> basis = drawHalves(random, dim * padded, 1.0f / std::sqrt(static_cast<float>(s.dim)));
      std::memcpy(head, basis.data(), basis.size() * 2);
      std::vector<float> steps(padded), zeros(padded);
      for (int n = 0; n < d.layout.channels; ++n) {
        const int bits = n < 8 * d.layout.words4 ? 4 : n < 8 * d.layout.words4 + 16 * d.layout.words2 ? 2 : 1;
        steps[static_cast<std::size_t>(n)] = 0.3f / static_cast<float>(bits) + 0.001f * static_cast<float>(drawInt(random, 0, 100));
        zeros[static_cast<std::size_t>(n)] = static_cast<float>((1 << bits) - 1) * 0.5f;
      }
      std::memcpy(head + d.layout.steps, steps.data(), padded * 4);
      std::memcpy(head + d.layout.zeros, zeros.data(), padded * 4);
      const std::size_t segments = static_cast<std::size_t>(d.indexShape.segmentCapacity);
      const std::vector<std::uint16_t> meanSteps(segments, floatToHalf(0.01f));
      std::memcpy(head + d.layout.meanSteps, meanSteps.data(), segments * 2);
      const std::size_t meanBytes = segments * static_cast<std::size_t>(d.layout.meanVectors) * 16;
      if (s.vectorBits == 16) {
        const std::vector<std::uint16_t> means = drawHalves(random, meanBytes / 2);
        std::memcpy(head + d.layout.means, means.data(), meanBytes);
      }
    }
    for (int kvHead = 0; kvHead < s.kvHeads; ++kvHead) {
      for (int token = 0; token < sequence.numTokens; ++token) {
        const std::vector<float> key = drawNormal(random, static_cast<std::size_t>(s.dim), 1.2f);
        std::uint8_t* row = d.cache.data() + d.rowAt(sequence, kvHead, token);
        for (int k = 0; k < s.dim && sequence.keeps(kvHead, token); ++k) {
          const std::uint16_t half = floatToHalf(key[static_cast<std::size_t>(k)]);
          if (s.type == KVASIR_F16) std::memcpy(row + 2 * k, &half, 2);
          else std::memcpy(row + 4 * k, &key[static_cast<std::size_t>(k)], 4);
        }
      }
    }
    d.sequences.push_back(sequence);
  }
  return d;
}

// Estimates of a query head for all coded tokens; its weights are rounded from the same float32 sums as the kernel's.
std::vector<double> estimates(const Data& d, std::size_t which, int head) {
  const Shape& s = d.s;
  const Sequence& sequence = d.sequences[which];
  const std::uint8_t* index = d.head(sequence, head / s.group);
  const float* q = d.queryOf(d.estimateQ, which, head);
  const auto halfAt = [&](std::size_t at) {
    std::uint16_t half;
    std::memcpy(&half, index + at, 2);
    return fromHalf(half);
  };
  const auto floatAt = [&](std::size_t at, int n) {
    float value;
    std::memcpy(&value, index + at + 4 * static_cast<std::size_t>(n), 4);
    return value;
  };
  std::vector<float> along;
  float most = 0.0f;
  for (int n = 0; n < d.layout.channels; ++n) {
    float sum = 0.0f;
    for (int i = 0; i < s.dim; ++i) sum = std::fma(q[i], halfAt(2 * static_cast<std::size_t>(i * d.layout.paddedChannels + n)), sum);
    along.push_back(sum * floatAt(d.layout.steps, n));
    most = std::max(most, std::fabs(along.back()));
  }
  const float inverse = most > 1e-30f ? 127.0f / most : 0.0f;
  std::vector<double> scores;
  for (int token = 0; token < sequence.coded; ++token) {
    const int segment = sequence.segmentOf[static_cast<std::size_t>(token)];
    const std::size_t mean = d.layout.means + static_cast<std::size_t>(segment / 32 * d.layout.meanVectors) * 512 + static_cast<std::size_t>(segment % 32) * 16;
    const std::size_t code = d.layout.codes + static_cast<std::size_t>(token / 32 * d.layout.codeVectors) * 512 + static_cast<std::size_t>(token % 32) * 16;
    double base = 0.0, sum = 0.0;
    for (int i = 0; i < s.dim; ++i) {
      const std::size_t byte = static_cast<std::size_t>(i * s.vectorBits / 8);
      const double x = s.vectorBits == 16 ? static_cast<double>(halfAt(mean + byte / 16 * 512 + byte % 16))
                                          : static_cast<std::int8_t>(index[mean + byte / 16 * 512 + byte % 16]) *
                                                static_cast<double>(halfAt(d.layout.meanSteps + 2 * static_cast<std::size_t>(segment)));
      base += static_cast<double>(q[i]) * x;
    }
    for (int n = 0; n < d.layout.channels; ++n) {
      const int w4 = 8 * d.layout.words4, w2 = w4 + 16 * d.layout.words2;
      const int bits = n < w4 ? 4 : n < w2 ? 2 : 1, in = n < w4 ? n : n < w2 ? n - w4 : n - w2, perWord = 32 / bits;
      const int word = (n < w4 ? 0 : n < w2 ? d.layout.words4 : d.layout.words4 + d.layout.words2) + in / perWord, place = in % perWord;
      const std::size_t at = code + static_cast<std::size_t>(word / 4 * 512 + word % 4 * 4 + place % 4);
      const int x = index[at] >> (place / 4 * bits) & ((1 << bits) - 1);
      sum += std::nearbyint(static_cast<double>(along[static_cast<std::size_t>(n)] * inverse)) * (x - static_cast<double>(floatAt(d.layout.zeros, n)));
    }
    scores.push_back(static_cast<double>(d.scale) * (base + static_cast<double>(most) / 127.0 * sum));
  }
  return scores;
}

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
  const auto cache = c.upload(d.cache);
  const auto q = c.upload(d.q), estimateQ = c.upload(d.estimateQ);
  std::vector<Buffer<std::uint8_t>> indexes;
  std::vector<Buffer<std::int32_t>> lists;
  std::vector<Buffer<std::uint64_t>> kept;
  std::vector<KvasirSelectSequence> sequences;
  for (const Sequence& own : d.sequences) {
    KvasirSelectSequence sequence{};
    indexes.push_back(c.upload(own.index));
    sequence.index = indexes.back().get();
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
  args.rowStarts = rowStarts.get();
  args.runs = runs.get();
  args.maxRuns = maxRuns;
  args.counts = counts.get();
  const auto workspace = c.poisoned<std::uint8_t>(kvasirSelectRunsBytes(&args), true);
  args.workspace = workspace.get();
  c.ok(c.gpu.selectRuns(c.stream, &args), "selectRuns");
  const std::vector<std::int32_t> starts = c.download(rowStarts), gotCounts = c.download(counts);
  const std::vector<KvasirKvRun> gotRuns = c.download(runs);
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
    refused("too many rows", [](KvasirSelectRunsArgs& a) {
      a.kv.numKvHeads = a.index.numKvHeads = a.numHeads = 41;
    });
  });
}

}  // namespace tests
}  // namespace kvasir::gpu::test
