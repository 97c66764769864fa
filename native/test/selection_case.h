// Drawn cases of the selector tests.
#pragma once

#include "selection_check.h"
#include "selection_data.h"

namespace kvasir::test {

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
  CodeBasis basis;

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
        vectorBits(random.pick({8, 16})),
        basis(bits > 0 && random.below(2) == 0 ? CodeBasis::principal : CodeBasis::channels) {
    rule.budgetTokens = std::max(0, rule.budgetTokens);
  }

  SegmentIndexShape shape() const { return {2, numKvHeads, dim, bits, vectorBits, basis}; }
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

inline ChosenRuns selectWith(Isa isa, int workers, Case& one, SelectCounts* counts = nullptr) {
  TestContext context(isa, workers);
  SegmentIndex index(one.shape());
  index.extend(context, one.sequence.kv, one.sequence.pages.data(), one.ends.data(), static_cast<int>(one.ends.size()));
  SegmentSelector selector(index, one.segmentRule());
  ChosenRuns out;
  selector.select(context, one.input(), out);
  if (counts) *counts = selector.counts;
  return out;
}

inline bool same(const ChosenRuns& a, const ChosenRuns& b) {
  return a.rowStarts == b.rowStarts && a.runs.size() == b.runs.size() &&
         (a.runs.empty() || std::memcmp(a.runs.data(), b.runs.data(), a.runs.size() * sizeof(KvRun)) == 0);
}

}  // namespace kvasir::test
