// Selectors against float64, and their bitwise promises.
#include "../cpu/selection/principal_storage.h"
#include "selection_case.h"

namespace kvasir::test {
namespace {

void listsAreValid(const char* name, int seed, Case& one, const ChosenRuns& chosen, const SelectCounts& counts,
                   int first, int end) {
  const int visible = one.tokens - (end - first);
  const int wanted = std::min(end - first, std::max(0, one.rule.budgetTokens - visible));
  long attended = 0;
  expect(static_cast<int>(chosen.rowStarts.size()) == one.numKvHeads + 1, "%s: %zu rows, seed %d\n", name,
         chosen.rowStarts.size(), seed);
  for (int head = 0; head < one.numKvHeads; ++head) {
    const std::vector<int> tokens = tokensOf(chosen, head);
    attended += static_cast<long>(tokens.size());
    bool ordered = tokens.empty() || (tokens[0] >= 0 && tokens.back() < one.tokens);
    for (std::size_t i = 1; i < tokens.size(); ++i) ordered = ordered && tokens[i] > tokens[i - 1];
    expect(ordered, "%s: tokens do not ascend or are not real, seed %d\n", name, seed);
    int seen = 0;
    for (const int token : tokens) seen += token < first || token >= end ? 1 : 0;
    expect(seen == visible, "%s: %d of %d always-visible tokens, seed %d\n", name, seen, visible, seed);
    if (!one.rule.jointHeads)
      expect(static_cast<int>(tokens.size()) == visible + wanted, "%s: a head attends %zu, seed %d\n", name,
             tokens.size(), seed);
    else
      expect(static_cast<int>(tokens.size()) >= visible + wanted / 4, "%s: a head lost its quarter, seed %d\n", name,
             seed);
    for (int r = chosen.rowStarts[static_cast<std::size_t>(head)];
         r < chosen.rowStarts[static_cast<std::size_t>(head) + 1]; ++r) {
      const KvRun run = chosen.runs[static_cast<std::size_t>(r)];
      expect(run.len >= 1 && run.first >= 0 && run.first + run.len <= kPageTokens,
             "%s: a run leaves its page, seed %d\n", name, seed);
      if (r > chosen.rowStarts[static_cast<std::size_t>(head)]) {
        const KvRun last = chosen.runs[static_cast<std::size_t>(r) - 1];
        expect(last.page != run.page || last.first + last.len < run.first,
               "%s: neighbouring runs are not joined, seed %d\n", name, seed);
      }
    }
  }
  expect(attended == static_cast<long>(visible + wanted) * one.numKvHeads, "%s: %ld attended, seed %d\n", name,
         attended, seed);
  expect(counts.calls == 1 && counts.attended == static_cast<double>(attended), "%s: counts say %g, seed %d\n", name,
         counts.attended, seed);
}

void threadsChangeNothing() {
  for (int seed = 0; seed < 60; ++seed) {
    Case one(seed);
    for (const NamedIsa& isa : availableIsas()) {
      SelectCounts counts;
      const ChosenRuns chosen = selectWith(isa.isa, 1, one, &counts);
      listsAreValid(isa.name, seed, one, chosen, counts, one.first(), one.end());
      for (const int workers : {2, 7}) {
        expect(same(chosen, selectWith(isa.isa, workers, one)), "%s: %d workers choose otherwise, seed %d\n", isa.name,
               workers, seed);
      }
    }
  }
}

// Softmax over `seen` scores; value of each listed token summed over the group.
std::vector<double> probabilities(const std::vector<std::vector<double>>& scores) {
  std::vector<double> values(scores[0].size());
  for (const std::vector<double>& head : scores) {
    double most = -INFINITY, sum = 0;
    for (const double s : head) most = std::max(most, s);
    for (const double s : head) sum += std::exp(s - most);
    for (std::size_t i = 0; i < head.size(); ++i) values[i] += std::exp(head[i] - most) / sum;
  }
  return values;
}

struct Reference {
  std::vector<std::vector<bool>> chosen;  // [kvHead][candidate]
  std::vector<std::vector<bool>> near;    // float32 may decide otherwise
  double pooled = 0;
};

// Marks values within a relative 1e-3 of the smallest kept or the largest left one.
void markNear(const std::vector<std::vector<double>>& values, const std::vector<std::vector<bool>>& kept, bool joint,
              std::vector<std::vector<bool>>& near, const std::vector<std::vector<int>>& tokens) {
  double lowest = INFINITY;
  for (std::size_t row = 0; row < values.size(); ++row) {
    for (std::size_t i = 0; i < values[row].size(); ++i)
      lowest = kept[row][i] ? std::min(lowest, values[row][i]) : lowest;
  }
  for (std::size_t row = 0; row < values.size(); ++row) {
    double own = INFINITY;
    for (std::size_t i = 0; i < values[row].size(); ++i) own = kept[row][i] ? std::min(own, values[row][i]) : own;
    double common = 0;
    for (std::size_t other = 0; other < values.size() && joint; ++other) {
      for (std::size_t i = 0; i < values[other].size(); ++i)
        common = kept[other][i] ? common : std::max(common, values[other][i]);
    }
    for (std::size_t i = 0; i < values[row].size(); ++i) {
      const auto close = [&](double edge) { return std::fabs(values[row][i] - edge) <= 1e-3 * edge + 1e-30; };
      if (close(own) || close(common) || (joint && close(lowest)))
        near[row][static_cast<std::size_t>(tokens[row][i])] = true;
    }
  }
}

// What a principal index estimates for a token, weights rounded as it does.
double principalEstimate(Case& one, const SegmentIndex& index, int head, int query, int token) {
  using namespace selection;
  const PrincipalStorage& storage = principalOf(index);
  const PrincipalLayout& layout = storage.layout();
  const PrincipalView view = storage.head(one.layer, head);
  const float* q = one.q.data() + static_cast<std::ptrdiff_t>(query) * one.dim;
  std::vector<double> weights;
  double most = 0, sum = 0;
  for (int n = 0; n < layout.channels(); ++n) {
    double along = 0;
    for (int i = 0; i < one.dim; ++i)
      along += static_cast<double>(q[i]) * static_cast<double>(halfToFloat(view.basis[i * layout.paddedChannels() + n]));
    weights.push_back(along * static_cast<double>(view.steps[n]));
    most = std::max(most, std::fabs(weights.back()));
  }
  const std::uint8_t* codes = view.codes + static_cast<std::size_t>(token / kBlockTokens) * layout.blockBytes() +
                              static_cast<std::size_t>(token % kBlockTokens * kWordBytes);
  for (int n = 0; n < layout.channels() && most > 0; ++n) {
    const PrincipalLayout::Place place = layout.placeOf(n);
    const int bits = layout.bitsOf(n), code = codes[place.byte] >> place.shift & ((1 << bits) - 1);
    sum += std::nearbyint(weights[static_cast<std::size_t>(n)] / most * 127) * most / 127 *
           (code - static_cast<double>(principalZero(bits)));
  }
  return sum;
}

Reference reference(Case& one, const SegmentIndex* index, int first, int end, int poolTokens, int wanted) {
  const int candidates = end - first;
  Reference out;
  std::vector<std::vector<double>> values;
  std::vector<std::vector<int>> tokens;
  const auto exact = [&](int head, int query, int token) {
    double dot = 0;
    for (int i = 0; i < one.dim; ++i)
      dot += static_cast<double>(one.q[static_cast<std::size_t>(query * one.dim + i)]) *
             one.sequence.key(one.layer, head, token, i);
    return dot * one.scale();
  };
  // Values of the listed candidates under scoreOf; the always-visible tokens stand behind them in the softmax.
  const auto valuesOf = [&](int head, const std::vector<int>& list, auto&& scoreOf) {
    std::vector<std::vector<double>> scores;
    for (int g = 0; g < one.group; ++g) {
      std::vector<double> row;
      for (const int c : list) row.push_back(scoreOf(head, head * one.group + g, first + c));
      for (int t = 0; t < first; ++t) row.push_back(exact(head, head * one.group + g, t));
      for (int t = end; t < one.tokens; ++t) row.push_back(exact(head, head * one.group + g, t));
      scores.push_back(row);
    }
    std::vector<double> all = probabilities(scores);
    all.resize(list.size());
    return all;
  };

  std::vector<int> everyone;
  for (int c = 0; c < candidates; ++c) everyone.push_back(c);
  for (int head = 0; head < one.numKvHeads; ++head) {
    tokens.push_back(everyone);
    if (!index) {
      values.push_back(valuesOf(head, everyone, exact));
      continue;
    }
    const std::size_t dim = static_cast<std::size_t>(one.dim);
    std::vector<float> means(static_cast<std::size_t>(index->numSegments()) * dim), deviations(means),
        levels(static_cast<std::size_t>(index->numTokens()) * dim);
    std::vector<float> radii(static_cast<std::size_t>(index->numSegments()));
    index->read(one.layer, head, means.data(), deviations.data(), levels.data(), radii.data());
    values.push_back(valuesOf(head, everyone, [&, head](int, int query, int token) {
      const std::size_t segment =
          static_cast<std::size_t>(std::upper_bound(one.ends.begin(), one.ends.end(), token) - one.ends.begin());
      double most = 0, base = 0, residual = 0, squares = 0;
      std::vector<double> w(dim);
      for (std::size_t i = 0; i < dim; ++i) {
        const double qi = static_cast<double>(one.q[static_cast<std::size_t>(query) * dim + i]);
        base += qi * static_cast<double>(means[segment * dim + i]);
        w[i] = qi * static_cast<double>(deviations[segment * dim + i]);
        most = std::max(most, std::fabs(w[i]));
        squares += w[i] * w[i];
      }
      if (one.bits == 0) return one.scale() * (base + one.scale() * squares / 2);
      if (one.basis == CodeBasis::principal) return one.scale() * (base + principalEstimate(one, *index, head, query, token));
      for (std::size_t i = 0; i < dim && most > 0; ++i) {
        residual += std::nearbyint(w[i] / most * 127) * most / 127 *
                    static_cast<double>(levels[static_cast<std::size_t>(token) * dim + i]);
      }
      return (base + residual) * one.scale();
    }));
  }
  out.near.assign(static_cast<std::size_t>(one.numKvHeads), std::vector<bool>(static_cast<std::size_t>(candidates)));
  if (index && poolTokens > 0) {
    const auto pool = sortedChoice(values, tokens, std::vector<int>(values.size(), poolTokens), one.rule.jointHeads);
    markNear(values, pool, one.rule.jointHeads, out.near, tokens);
    for (int head = 0; head < one.numKvHeads; ++head) {
      const std::size_t h = static_cast<std::size_t>(head);
      std::vector<int> list;
      for (const int c : everyone) {
        if (pool[h][static_cast<std::size_t>(c)]) list.push_back(c);
      }
      out.pooled += static_cast<double>(list.size());
      tokens[h] = list;
      values[h] = valuesOf(head, list, exact);
    }
  } else if (!index) {
    out.pooled = static_cast<double>(candidates) * one.numKvHeads;
  }
  const auto kept = sortedChoice(values, tokens, std::vector<int>(values.size(), wanted), one.rule.jointHeads);
  markNear(values, kept, one.rule.jointHeads, out.near, tokens);
  out.chosen.assign(out.near.size(), std::vector<bool>(static_cast<std::size_t>(candidates)));
  for (std::size_t head = 0; head < kept.size(); ++head) {
    for (std::size_t i = 0; i < kept[head].size(); ++i) {
      if (kept[head][i]) out.chosen[head][static_cast<std::size_t>(tokens[head][i])] = true;
    }
  }
  return out;
}

// A token near an edge may fall on either side, and then another one near an edge takes or leaves its place.
void agrees(const char* name, int seed, Case& one, const ChosenRuns& chosen, const Reference& wanted, int first,
            int end) {
  for (int head = 0; head < one.numKvHeads; ++head) {
    std::vector<bool> got(static_cast<std::size_t>(end - first));
    for (const int token : tokensOf(chosen, head)) {
      if (token >= first && token < end) got[static_cast<std::size_t>(token - first)] = true;
    }
    for (std::size_t c = 0; c < got.size(); ++c) {
      const std::size_t h = static_cast<std::size_t>(head);
      expect(got[c] == wanted.chosen[h][c] || wanted.near[h][c], "%s: candidate %zu of head %d, seed %d\n", name, c,
             head, seed);
    }
  }
}

void choosesAsFloat64Does() {
  for (int seed = 0; seed < 200; ++seed) {
    Case one(seed);
    TestContext context(Isa::scalar, 1);
    SegmentIndex index(one.shape());
    index.extend(context, one.sequence.kv, one.sequence.pages.data(), one.ends.data(),
                 static_cast<int>(one.ends.size()));
    const int candidates = one.end() - one.first();
    const int wanted = std::min(candidates, std::max(0, one.rule.budgetTokens - one.visible()));
    if (wanted == 0 || wanted == candidates) continue;
    const double wish = one.poolFactor * one.rule.budgetTokens;
    const int pool = one.poolFactor > 0 ? std::max(wanted, static_cast<int>(std::min<double>(wish, candidates))) : 0;
    const bool exact = pool == candidates || index.codedTokens() == 0;
    const Reference expected =
        reference(one, exact ? nullptr : &index, one.first(), one.end(), pool, wanted);
    for (const NamedIsa& isa : availableIsas()) {
      SelectCounts counts;
      agrees(isa.name, seed, one, selectWith(isa.isa, 1, one, &counts), expected, one.first(), one.end());
      expect(counts.pooled == expected.pooled, "%s: %g pooled, not %g, seed %d\n", isa.name, counts.pooled,
             expected.pooled, seed);
    }
  }
}

// A selector remembers what its last pool took: that must not show.
void earlierStepsChangeNothing() {
  for (int seed = 0; seed < 60; ++seed) {
    Case one(seed);
    if (one.tokens < 100) continue;
    TestContext context(availableIsas().back().isa, 2);
    SegmentIndex index(one.shape());
    index.extend(context, one.sequence.kv, one.sequence.pages.data(), one.ends.data(), static_cast<int>(one.ends.size()));
    SegmentSelector standing(index, one.segmentRule());
    for (int step = 0; step < 6; ++step) {
      // Queries of all sizes, so that values of a step may be far from the last one's.
      const std::vector<float> q = randomQueries(one.random, one.numKvHeads * one.group, one.dim,
                                                 one.random.pick({0.01f, 0.3f, 3.0f, 30.0f}));
      SelectInput input = one.input();
      input.q = q.data();
      input.numTokens = one.tokens - 5 + step;
      ChosenRuns after, fresh;
      standing.select(context, input, after);
      SegmentSelector anew(index, one.segmentRule());
      anew.select(context, input, fresh);
      expect(same(after, fresh), "step %d: the steps before change the choice, seed %d\n", step, seed);
    }
  }
}

void exactSelectorIsTheOracle() {
  for (int seed = 0; seed < 60; ++seed) {
    Case one(seed);
    one.rule.sinkTokens = one.random.pick({0, 0, 4});
    one.rule.recentTokens = one.random.pick({1, 1, 0, 16});
    one.indexed = one.tokens;
    const int first = one.first(), end = one.end();
    const int wanted = std::min(end - first, std::max(0, one.rule.budgetTokens - one.visible()));
    const bool trivial = wanted == 0 || wanted == end - first;
    Reference expected;
    if (!trivial) expected = reference(one, nullptr, first, end, 0, wanted);
    for (const NamedIsa& isa : availableIsas()) {
      TestContext context(isa.isa, 2);
      ExactSelector selector(one.rule);
      ChosenRuns out;
      selector.select(context, one.input(), out);
      listsAreValid(isa.name, seed, one, out, selector.counts, first, end);
      if (!trivial) agrees(isa.name, seed, one, out, expected, first, end);
      expect(selector.counts.pooled == expected.pooled, "%s: %g pooled, seed %d\n", isa.name, selector.counts.pooled,
             seed);

      // A pool of everything makes the segment selector the oracle.
      SegmentIndex index({2, one.numKvHeads, one.dim, 2, 16});
      const std::vector<std::int32_t> whole = {one.tokens};
      index.extend(context, one.sequence.kv, one.sequence.pages.data(), whole.data(), 1);
      one.poolFactor = 1e9;
      SegmentSelector full(index, one.segmentRule());
      ChosenRuns other;
      full.select(context, one.input(), other);
      expect(same(out, other), "%s: a full pool is not the oracle, seed %d\n", isa.name, seed);
    }
  }
}

void equalScoresTakeTheLowestTokens() {
  Random random(3);
  Sequence sequence(random, 1, 2, 64, 900, KvType::f16);
  std::vector<float> q(4 * 64, 0.0f);
  const std::vector<std::int32_t> ends = randomEnds(random, 0, 890, 30);
  for (const NamedIsa& isa : availableIsas()) {
    TestContext context(isa.isa, 2);
    SegmentIndex index({1, 2, 64, 2, 16});
    index.extend(context, sequence.kv, sequence.pages.data(), ends.data(), static_cast<int>(ends.size()));
    for (const double poolFactor : {0.0, 2.0}) {
      // 4 sinks and 16 recent tokens leave 30 of 50 tokens a head: the first quarter each, then 45 by token and head.
      SegmentSelector selector(index, {{50, 4, 16, true}, poolFactor});
      ChosenRuns out;
      selector.select(context, {sequence.kv, 0, q.data(), 4, 0.125f, 900, sequence.pages.data()}, out);
      for (int head = 0; head < 2; ++head) {
        const std::vector<int> tokens = tokensOf(out, head);
        bool lowest = tokens.size() == 50;
        for (int i = 0; i < 34 && lowest; ++i) lowest = tokens[static_cast<std::size_t>(i)] == i;
        expect(lowest, "%s: equal scores choose other tokens, pool %g head %d (%zu)\n", isa.name, poolFactor, head,
               tokens.size());
      }
    }
  }
}

void extremeScoresStayFinite() {
  Random random(4);
  for (const float size : {1e4f, 1e-20f}) {
    Case one(12);
    for (float& x : one.q) x = size * random.normal();
    for (const NamedIsa& isa : availableIsas()) {
      SelectCounts counts;
      const ChosenRuns chosen = selectWith(isa.isa, 2, one, &counts);
      listsAreValid(isa.name, 12, one, chosen, counts, one.first(), one.end());
    }
  }
  // A broken model must not break the process.
  Case one(13);
  for (float& x : one.q) x = NAN;
  for (const NamedIsa& isa : availableIsas()) {
    SelectCounts counts;
    listsAreValid(isa.name, 13, one, selectWith(isa.isa, 2, one, &counts), counts, one.first(), one.end());
  }
}

}  // namespace

int runSelectionTests() {
  threadsChangeNothing();
  choosesAsFloat64Does();
  earlierStepsChangeNothing();
  exactSelectorIsTheOracle();
  equalScoresTakeTheLowestTokens();
  extremeScoresStayFinite();
  return report("selectors");
}

}  // namespace kvasir::test

int main() { return kvasir::test::runSelectionTests(); }
