// The segment index: growth in any pieces, truncation, copies, size, what an abort leaves.
#include "selection_check.h"
#include "selection_data.h"

namespace kvasir::test {
namespace {

std::vector<float> everything(const SegmentIndex& index) {
  const std::size_t dim = static_cast<std::size_t>(index.shape().headDim);
  std::vector<float> all;
  for (int layer = 0; layer < index.shape().numLayers; ++layer) {
    for (int head = 0; head < index.shape().numKvHeads; ++head) {
      std::vector<float> means(static_cast<std::size_t>(index.numSegments()) * dim), deviations(means),
          levels(static_cast<std::size_t>(index.numTokens()) * dim);
      index.read(layer, head, means.data(), deviations.data(), levels.data());
      all.insert(all.end(), means.begin(), means.end());
      all.insert(all.end(), deviations.begin(), deviations.end());
      all.insert(all.end(), levels.begin(), levels.end());
    }
  }
  return all;
}

void indexGrowsInPiecesAndShrinks() {
  for (int seed = 0; seed < 40; ++seed) {
    Random random(static_cast<std::uint64_t>(seed));
    const int dim = random.pick({8, 64, 80, 128}), bits = random.between(1, 2), tokens = random.between(1, 700);
    Sequence sequence(random, random.between(1, 3), random.between(1, 3), dim, tokens,
                      random.pick({KvType::f16, KvType::f32}));
    const std::vector<std::int32_t> ends = randomEnds(random, 0, tokens, random.pick({1, 25, 60}));
    const SegmentIndexShape shape = {sequence.numLayers, sequence.numKvHeads, dim, bits};
    for (const NamedIsa& isa : availableIsas()) {
      TestContext context(isa.isa, random.pick({1, 2, 7}));
      SegmentIndex once(shape), pieces(shape);
      expect(once.extend(context, sequence.kv, sequence.pages.data(), ends.data(), static_cast<int>(ends.size())),
             "extend fails, seed %d\n", seed);
      std::unique_ptr<SegmentIndex> copy;
      std::size_t at = 0;
      while (at < ends.size()) {
        const std::size_t count = std::min(ends.size() - at, static_cast<std::size_t>(random.between(1, 9)));
        pieces.extend(context, sequence.kv, sequence.pages.data(), ends.data() + at, static_cast<int>(count));
        at += count;
        if (random.below(5) == 0) copy = pieces.clone();
      }
      expect(once.numTokens() == tokens && once.numSegments() == static_cast<int>(ends.size()),
             "index holds %d tokens, seed %d\n", once.numTokens(), seed);
      expect(everything(once) == everything(pieces), "%s: pieces differ from once, seed %d\n", isa.name, seed);

      const int cut = random.between(0, tokens);
      pieces.truncate(cut);
      const std::size_t left = static_cast<std::size_t>(std::upper_bound(ends.begin(), ends.end(), cut) - ends.begin());
      expect(pieces.numSegments() == static_cast<int>(left), "truncate to %d leaves %d segments, seed %d\n", cut,
             pieces.numSegments(), seed);
      if (left < ends.size())
        pieces.extend(context, sequence.kv, sequence.pages.data(), ends.data() + left,
                      static_cast<int>(ends.size() - left));
      expect(everything(once) == everything(pieces), "%s: truncate and extend differ from once, seed %d\n", isa.name,
             seed);

      copy = pieces.clone();
      expect(everything(*copy) == everything(once) && copy->ends() == once.ends(), "%s: clone differs, seed %d\n",
             isa.name, seed);
      copy->truncate(0);
      expect(copy->numTokens() == 0 && everything(once) == everything(pieces), "clone shares memory, seed %d\n", seed);
    }
  }
}

void indexIsSmall() {
  Random random(1);
  Sequence sequence(random, 1, 3, 64, 4096, KvType::f16);
  std::vector<std::int32_t> ends;
  for (int end = 25; end < 4096; end += 25) ends.push_back(end);
  TestContext context(Isa::scalar, 1);
  for (const int bits : {1, 2}) {
    SegmentIndex index({1, 3, 64, bits});
    expect(index.bytes() == 0, "an empty index holds %zu bytes\n", index.bytes());
    index.extend(context, sequence.kv, sequence.pages.data(), ends.data(), static_cast<int>(ends.size()));
    const double share = static_cast<double>(index.bytes()) / (4075.0 * 3 * 256);
    expect(share < (bits == 2 ? 0.10 : 0.07), "index of %d bits is %.4f of float16 KV\n", bits, share);
  }
}

void abortedExtendChangesNothing() {
  Random random(2);
  Sequence sequence(random, 2, 2, 64, 300, KvType::f16);
  const std::vector<std::int32_t> ends = {100, 200, 300};
  TestContext context(Isa::scalar, 2);
  SegmentIndex index({2, 2, 64, 2});
  index.extend(context, sequence.kv, sequence.pages.data(), ends.data(), 1);
  const std::vector<float> before = everything(index);
  context.abort(true);
  expect(!index.extend(context, sequence.kv, sequence.pages.data(), ends.data() + 1, 2),
         "aborted extend reports success%s\n", "");
  expect(index.numTokens() == 100 && everything(index) == before, "aborted extend changes the index%s\n", "");
  ChosenRuns out;
  const std::vector<float> q = randomQueries(random, 4, 64, 1);
  SegmentSelector selector(index, {40, 4, 16, true}, 2);
  const SelectInput input = {sequence.kv, 0, q.data(), 4, 0.125f, 120, sequence.pages.data()};
  selector.select(context, input, out);
  expect(out.runs.empty() && selector.counts.calls == 0, "aborted select leaves runs%s\n", "");
}

}  // namespace

int runSegmentIndexTests() {
  indexGrowsInPiecesAndShrinks();
  indexIsSmall();
  abortedExtendChangesNothing();
  return report("segment index");
}

}  // namespace kvasir::test

int main() { return kvasir::test::runSegmentIndexTests(); }
