// Selectors against float64, and their bitwise promises.
#include "selection_check.h"
#include "selection_data.h"

namespace kvasir::test {
namespace {

// One drawn case: a sequence, its index over the first `indexed` tokens, queries, a rule.
struct Case {
  Random random;
  int dim, bits, tokens, indexed, numKvHeads, group, layer;
  Sequence sequence;
  std::vector<std::int32_t> ends;
  std::vector<float> q;
  BudgetRule rule;
  double poolFactor;
  int vectorBits;

  explicit Case(int seed)
      : random(static_cast<std::uint64_t>(9000 + seed)),
        dim(random.pick({16, 40, 64, 128})),
        bits(random.pick({0, 1, 2, 2, 4})),
        tokens(random.pick({1, 2, 17, 100, 511, 700, 1300})),
        indexed(random.below(4) == 0 ? random.below(tokens + 1) : tokens * 19 / 20),
        numKvHeads(random.between(1, 4)),
        group(random.between(1, 5)),
        layer(random.below(2)),
        sequence(random, 2, numKvHeads, dim, tokens, random.pick({KvType::f16, KvType::f16, KvType::f32})),
        ends(randomEnds(random, 0, indexed, random.pick({1, 25, 60, 2000}))),
        q(randomQueries(random, numKvHeads * group, dim, random.pick({0.3f, 1.0f}))),
        rule{random.pick({0, 1, 2, 20, 64, 128, 300, tokens - 1, tokens, tokens + 5}), random.pick({0, 1, 4, 4, 4, 40}),
             random.pick({0, 1, 16, 16, 50}), random.below(3) != 0},
        poolFactor(random.pick({0.0, 0.5, 1.0, 2.0, 2.0, 4.0, 1e9})),
        vectorBits(random.pick({8, 16})) {
    rule.budgetTokens = std::max(0, rule.budgetTokens);
  }

  SegmentRule segmentRule() const {
    SegmentRule all;
    all.budget = rule;
    all.poolFactor = poolFactor;
    return all;
  }
  double scale() const { return static_cast<double>(static_cast<float>(1 / std::sqrt(dim))); }
  SelectInput input() {
    return {sequence.kv,          layer, q.data(), numKvHeads * group, static_cast<float>(scale()), tokens,
            sequence.pages.data()};
  }
  int end() const { return std::max(0, std::min(indexed, tokens - rule.recentTokens)); }
  int first() const { return std::min(rule.sinkTokens, end()); }
  int visible() const { return tokens - (end() - first()); }
};

ChosenRuns selectWith(Isa isa, int workers, Case& one, SelectCounts* counts = nullptr) {
  TestContext context(isa, workers);
  SegmentIndex index({2, one.numKvHeads, one.dim, one.bits, one.vectorBits});
  index.extend(context, one.sequence.kv, one.sequence.pages.data(), one.ends.data(), static_cast<int>(one.ends.size()));
  SegmentSelector selector(index, one.segmentRule());
  ChosenRuns out;
  selector.select(context, one.input(), out);
  if (counts) *counts = selector.counts;
  return out;
}

// Rows of a sequence kept elsewhere: one copy of the K rows a KV head, handed out by address.
class ScatteredKeys : public KeyRows {
 public:
  ScatteredKeys(Case& one) : one_(one), copies_(static_cast<std::size_t>(one.numKvHeads)), addresses_(copies_.size()) {
    rowBytes_ = static_cast<std::size_t>(one.dim) * (one.sequence.type == KvType::f32 ? 4 : 2);
  }
  const std::uint8_t* const* rows(Context& context, int kvHead, const std::int32_t* indices, int count) override {
    if (context.cancelled()) return nullptr;
    std::vector<std::uint8_t>& copy = copies_[static_cast<std::size_t>(kvHead)];
    std::vector<const std::uint8_t*>& addresses = addresses_[static_cast<std::size_t>(kvHead)];
    copy.assign(rowBytes_ * static_cast<std::size_t>(count) + 1, 0xff);
    addresses.clear();
    for (int i = 0; i < count; ++i) {
      ascending = ascending && (i == 0 || indices[i] > indices[i - 1]);
      std::uint8_t* at = copy.data() + rowBytes_ * static_cast<std::size_t>(i);
      std::memcpy(at, one_.sequence.row(one_.layer, kvHead, indices[i]), rowBytes_);
      addresses.push_back(at);
    }
    asked += count;
    most = std::max(most, count);
    addresses.push_back(nullptr);  // so that no rows are an array too
    return addresses.data();
  }
  bool ascending = true;
  long asked = 0;
  int most = 0;

 private:
  Case& one_;
  std::size_t rowBytes_;
  std::vector<std::vector<std::uint8_t>> copies_;
  std::vector<std::vector<const std::uint8_t*>> addresses_;
};

bool same(const ChosenRuns& a, const ChosenRuns& b) {
  return a.rowStarts == b.rowStarts && a.runs.size() == b.runs.size() &&
         (a.runs.empty() || std::memcmp(a.runs.data(), b.runs.data(), a.runs.size() * sizeof(KvRun)) == 0);
}

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

// Where keys are read changes nothing, and what was read without being chosen is likely next.
void keysMayLieElsewhere() {
  for (int seed = 0; seed < 60; ++seed) {
    Case one(seed);
    for (const NamedIsa& isa : availableIsas()) {
      TestContext context(isa.isa, 2);
      SegmentIndex index({2, one.numKvHeads, one.dim, one.bits, one.vectorBits});
      index.extend(context, one.sequence.kv, one.sequence.pages.data(), one.ends.data(),
                   static_cast<int>(one.ends.size()));
      SegmentSelector segments(index, one.segmentRule());
      ExactSelector exact(one.rule);
      for (Selector* selector : {static_cast<Selector*>(&segments), static_cast<Selector*>(&exact)}) {
        ChosenRuns plain, fetched;
        selector->select(context, one.input(), plain);
        const double pooled = selector->counts.pooled;
        ScatteredKeys keys(one);
        SelectInput input = one.input();
        input.keys = &keys;
        input.wantsLikely = true;
        input.kv.base = nullptr;
        selector->select(context, input, fetched);
        expect(same(plain, fetched), "%s: other rows chosen of keys elsewhere, seed %d\n", isa.name, seed);
        expect(keys.ascending, "%s: rows asked out of order, seed %d\n", isa.name, seed);
        if (selector == &exact) expect(keys.most <= 1024, "%s: %d rows at once, seed %d\n", isa.name, keys.most, seed);
        expect(selector->counts.pooled == 2 * pooled, "%s: pooled %g, seed %d\n", isa.name, pooled, seed);
        std::size_t chosen = 0;
        for (int head = 0; head < one.numKvHeads; ++head) {
          const std::vector<int> tokens = tokensOf(fetched, head);
          chosen += tokens.size();
          for (int i = fetched.likelyStarts[static_cast<std::size_t>(head)];
               i < fetched.likelyStarts[static_cast<std::size_t>(head) + 1]; ++i) {
            const int token = fetched.likely[static_cast<std::size_t>(i)];
            expect(!std::binary_search(tokens.begin(), tokens.end(), token), "%s: a chosen row is likely, seed %d\n",
                   isa.name, seed);
          }
        }
        const double candidates = static_cast<double>(one.end() - one.first()) * one.numKvHeads;
        if (selector != &segments || pooled == 0 || pooled == candidates) continue;
        const std::size_t visible = static_cast<std::size_t>(one.visible() * one.numKvHeads);
        expect(static_cast<double>(fetched.likely.size() + chosen - visible) == pooled,
               "%s: %zu likely, seed %d\n", isa.name, fetched.likely.size(), seed);
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
    values.push_back(valuesOf(head, everyone, [&](int, int query, int token) {
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
    SegmentIndex index({2, one.numKvHeads, one.dim, one.bits, one.vectorBits});
    index.extend(context, one.sequence.kv, one.sequence.pages.data(), one.ends.data(),
                 static_cast<int>(one.ends.size()));
    const int candidates = one.end() - one.first();
    const int wanted = std::min(candidates, std::max(0, one.rule.budgetTokens - one.visible()));
    if (wanted == 0 || wanted == candidates) continue;
    const double wish = one.poolFactor * one.rule.budgetTokens;
    const int pool = one.poolFactor > 0 ? std::max(wanted, static_cast<int>(std::min<double>(wish, candidates))) : 0;
    const Reference expected =
        reference(one, pool == candidates ? nullptr : &index, one.first(), one.end(), pool, wanted);
    for (const NamedIsa& isa : availableIsas()) {
      SelectCounts counts;
      agrees(isa.name, seed, one, selectWith(isa.isa, 1, one, &counts), expected, one.first(), one.end());
      expect(counts.pooled == expected.pooled, "%s: %g pooled, not %g, seed %d\n", isa.name, counts.pooled,
             expected.pooled, seed);
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

// Bits of a KeptView, drawn: rows of [0, end) of which most, few or none stand.
struct DrawnKept {
  std::vector<std::uint64_t> bits;
  KeptView view;

  DrawnKept(Random& random, int numKvHeads, int end) {
    const std::size_t stride = static_cast<std::size_t>((end + 63) / 64);
    bits.assign(stride * static_cast<std::size_t>(numKvHeads), ~std::uint64_t{0});
    const double share = random.pick({0.9, 0.5, 0.1, 0.0});
    for (int head = 0; head < numKvHeads; ++head) {
      for (int i = 0; i < end; ++i) {
        if (random.uniform() >= share)
          bits[static_cast<std::size_t>(head) * stride + static_cast<std::size_t>(i / 64)] &= ~(std::uint64_t{1} << (i % 64));
      }
    }
    view = {bits.data(), stride, end};
  }
};

SegmentRule drawnRule(Case& one) {
  SegmentRule rule = one.segmentRule();
  rule.prefilterFactor = one.random.pick({0.0, 0.0, 1.0, 3.0});
  if (rule.prefilterFactor > 0) rule.poolFactor = std::min(rule.poolFactor, rule.prefilterFactor);
  else if (rule.poolFactor > 0) rule.certify = one.random.pick({Certify::off, Certify::report, Certify::extend});
  return rule;
}

// Whatever the rule: only kept rows, the whole budget as far as there are some, the same on any number of workers.
void choosesAmongKeptRows() {
  for (int seed = 0; seed < 150; ++seed) {
    Case one(seed);
    const SegmentRule rule = drawnRule(one);
    const DrawnKept kept(one.random, one.numKvHeads, one.random.below(one.tokens + 1));
    for (const NamedIsa& isa : availableIsas()) {
      ChosenRuns first;
      for (const int workers : {1, 3}) {
        TestContext context(isa.isa, workers);
        SegmentIndex index({2, one.numKvHeads, one.dim, one.bits, one.vectorBits});
        index.extend(context, one.sequence.kv, one.sequence.pages.data(), one.ends.data(),
                     static_cast<int>(one.ends.size()));
        SegmentSelector segments(index, rule);
        ExactSelector exact(one.rule);
        for (Selector* selector : {static_cast<Selector*>(&segments), static_cast<Selector*>(&exact)}) {
          SelectInput input = one.input();
          input.kept = kept.view;
          ChosenRuns out;
          selector->select(context, input, out);
          const bool isExact = selector == &exact;
          const int end = isExact ? std::max(0, one.tokens - one.rule.recentTokens) : one.end();
          const int begin = std::min(one.rule.sinkTokens, end);
          long wanted = 0, attended = 0;
          for (int head = 0; head < one.numKvHeads; ++head) {
            int visible = 0, candidates = 0;
            for (int t = 0; t < one.tokens; ++t) {
              if (t < one.tokens - 1 && !kept.view.keeps(head, t)) continue;
              ++(t < begin || t >= end ? visible : candidates);
            }
            wanted += visible + std::min(candidates, std::max(0, one.rule.budgetTokens - visible));
            for (const int t : tokensOf(out, head)) {
              ++attended;
              expect(t == one.tokens - 1 || kept.view.keeps(head, t), "%s: a row that is gone, seed %d\n", isa.name, seed);
            }
          }
          expect(attended == wanted, "%s: %ld attended, not %ld, seed %d\n", isa.name, attended, wanted, seed);
          expect(selector->counts.attended == static_cast<double>(attended), "%s: counts say %g, seed %d\n", isa.name,
                 selector->counts.attended, seed);
          if (isExact) continue;
          if (workers == 1) first = out;
          else expect(same(first, out), "%s: workers choose otherwise, seed %d\n", isa.name, seed);
          if (rule.certify == Certify::extend)
            expect(selector->counts.certified == one.numKvHeads, "%s: %g certified, seed %d\n", isa.name,
                   selector->counts.certified, seed);
        }
      }
    }
  }
}

// A proof is right: with lone query heads an extended choice is the exact one, and so is a choice that report proves.
void certificatesHold() {
  int proven = 0, heads = 0, mended = 0;
  for (int seed = 0; seed < 150; ++seed) {
    Case one(seed);
    if (one.tokens < 100) continue;
    const int numHeads = one.numKvHeads;
    one.rule.jointHeads = false;
    one.rule.sinkTokens = 4;
    one.rule.recentTokens = std::max(1, one.rule.recentTokens);
    std::vector<float> q = randomQueries(one.random, numHeads, one.dim, one.random.pick({0.2f, 1.0f, 3.0f}));
    for (const NamedIsa& isa : availableIsas()) {
      TestContext context(isa.isa, 2);
      const std::vector<std::int32_t> all = randomEnds(one.random, 0, one.tokens, 30);
      SegmentIndex index({2, one.numKvHeads, one.dim, one.bits, one.vectorBits});
      index.extend(context, one.sequence.kv, one.sequence.pages.data(), all.data(), static_cast<int>(all.size()));
      SegmentRule rule;
      rule.budget = one.rule;
      rule.poolFactor = one.random.pick({1.0, 2.0, 4.0});
      SelectInput input = one.input();
      input.q = q.data();
      input.numHeads = numHeads;
      ChosenRuns exact, plain, reported, extended;
      ExactSelector oracle(one.rule);
      oracle.select(context, input, exact);
      SegmentSelector off(index, rule);
      off.select(context, input, plain);
      rule.certify = Certify::report;
      SegmentSelector report(index, rule);
      report.select(context, input, reported);
      rule.certify = Certify::extend;
      SegmentSelector extend(index, rule);
      extend.select(context, input, extended);
      expect(same(plain, reported), "%s: a report changes the choice, seed %d\n", isa.name, seed);
      expect(same(exact, extended), "%s: an extended choice is not the exact one, seed %d\n", isa.name, seed);
      expect(extend.counts.pooled >= report.counts.pooled, "%s: extension reads less, seed %d\n", isa.name, seed);
      if (report.counts.certified == numHeads)
        expect(same(plain, exact), "%s: a proven choice is not the exact one, seed %d\n", isa.name, seed);
      proven += static_cast<int>(report.counts.certified);
      heads += numHeads;
      mended += same(plain, exact) ? 0 : 1;
    }
  }
  std::printf("certificates: %d of %d KV heads proven, %d choices mended\n", proven, heads, mended);
  expect(proven > 0 && proven < heads && mended > 0, "the cases show nothing%s\n", "");
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
  keysMayLieElsewhere();
  choosesAsFloat64Does();
  exactSelectorIsTheOracle();
  choosesAmongKeptRows();
  certificatesHold();
  equalScoresTakeTheLowestTokens();
  extremeScoresStayFinite();
  return report("selectors");
}

}  // namespace kvasir::test

int main() { return kvasir::test::runSelectionTests(); }
