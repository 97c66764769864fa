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
      std::vector<float> radii(static_cast<std::size_t>(index.numSegments()));
      index.read(layer, head, means.data(), deviations.data(), levels.data(), radii.data());
      all.insert(all.end(), radii.begin(), radii.end());
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
    const int dim = random.pick({8, 64, 80, 128}), bits = random.pick({0, 1, 2, 4}), tokens = random.between(1, 700);
    Sequence sequence(random, random.between(1, 3), random.between(1, 3), dim, tokens,
                      random.pick({KvType::f16, KvType::f32}));
    const std::vector<std::int32_t> ends = randomEnds(random, 0, tokens, random.pick({1, 25, 60}));
    const CodeBasis basis = bits > 0 && random.below(2) == 0 ? CodeBasis::principal : CodeBasis::channels;
    const SegmentIndexShape shape = {sequence.numLayers, sequence.numKvHeads, dim, bits, random.pick({8, 16}), basis};
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
  Sequence sequence(random, 1, 3, 64, 8000, KvType::f16);
  std::vector<std::int32_t> ends;
  for (int end = 25; end < 8000; end += 25) ends.push_back(end);
  TestContext context(Isa::scalar, 1);
  const struct {
    CodeBasis basis;
    int codeBits, vectorBits;
    double most;
  } shapes[] = {{CodeBasis::channels, 2, 16, 0.11}, {CodeBasis::channels, 2, 8, 0.08}, {CodeBasis::channels, 1, 8, 0.05},
                {CodeBasis::channels, 1, 16, 0.07}, {CodeBasis::channels, 0, 16, 0.04}, {CodeBasis::channels, 0, 8, 0.02},
                {CodeBasis::channels, 4, 16, 0.17}, {CodeBasis::principal, 2, 16, 0.095}, {CodeBasis::principal, 2, 8, 0.08},
                {CodeBasis::principal, 1, 8, 0.05}, {CodeBasis::principal, 4, 16, 0.16}};
  for (const auto& shape : shapes) {
    SegmentIndex index({1, 3, 64, shape.codeBits, shape.vectorBits, shape.basis});
    expect(index.bytes() == 0, "an empty index holds %zu bytes\n", index.bytes());
    index.extend(context, sequence.kv, sequence.pages.data(), ends.data(), static_cast<int>(ends.size()));
    const double shared = static_cast<double>(index.blocks().capacity() * (sizeof(SegmentBlock) + 16));
    const double share = (static_cast<double>(index.bytes()) - shared) / (7975.0 * 3 * 256) + shared / (7975.0 * 90 * 256);
    std::printf("%s codes of %d bits, vectors of %d: %.2f %% of float16 KV\n", shape.basis == CodeBasis::principal ? "principal" : "channel", shape.codeBits, shape.vectorBits, 100 * share);
    expect(share <= shape.most, "index of %d and %d bits is %.4f of float16 KV\n", shape.codeBits, shape.vectorBits, share);
  }
}

void abortedExtendChangesNothing() {
  Random random(2);
  Sequence sequence(random, 2, 2, 64, 300, KvType::f16);
  const std::vector<std::int32_t> ends = {100, 200, 300};
  TestContext context(Isa::scalar, 2);
  SegmentIndex index({2, 2, 64, 2, 16});
  index.extend(context, sequence.kv, sequence.pages.data(), ends.data(), 1);
  const std::vector<float> before = everything(index);
  context.abort(true);
  expect(!index.extend(context, sequence.kv, sequence.pages.data(), ends.data() + 1, 2),
         "aborted extend reports success%s\n", "");
  expect(index.numTokens() == 100 && everything(index) == before, "aborted extend changes the index%s\n", "");
  ChosenRuns out;
  const std::vector<float> q = randomQueries(random, 4, 64, 1);
  SegmentSelector selector(index, {{40, 4, 16, true}});
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
