// Selectors whose rows lie elsewhere or are gone, and their certificates.
#include "selection_case.h"

namespace kvasir::test {
namespace {

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

// Where keys are read changes nothing, and what was read without being chosen is likely next.
void keysMayLieElsewhere() {
  for (int seed = 0; seed < 60; ++seed) {
    Case one(seed);
    for (const NamedIsa& isa : availableIsas()) {
      TestContext context(isa.isa, 2);
      SegmentIndex index(one.shape());
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
  const double prefilterFactor = one.random.pick({0.0, 0.0, 1.0, 3.0});
  if (one.basis == CodeBasis::channels) rule.prefilterFactor = prefilterFactor;
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
        SegmentIndex index(one.shape());
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
      SegmentIndex index(one.shape());
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

}  // namespace

int runSelectionRowsTests() {
  keysMayLieElsewhere();
  choosesAmongKeptRows();
  certificatesHold();
  return report("rows of selectors");
}

}  // namespace kvasir::test

int main() { return kvasir::test::runSelectionRowsTests(); }
