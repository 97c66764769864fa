// Every kernel of the selection table on every instruction set against float64.
#include <cstdlib>
#include <memory>

#include "selection_check.h"
#include "selection_data.h"

#include "../cpu/selection/budget.h"
#include "../cpu/selection/channel_storage.h"
#include "../cpu/selection/kernels.h"

namespace kvasir::test {
namespace {

using namespace selection;

const int dims[] = {1, 2, 7, 16, 24, 40, 64, 65, 80, 96, 100, 128, 192, 256, 512};
int randomDim(Random& random) { return dims[random.below(static_cast<int>(std::size(dims)))]; }

// Estimates with weights rounded as the formula says, and without rounding (a bound in place of a tolerance).
void estimatesTokens() {
  for (int seed = 0; seed < 200; ++seed) {
    Random random(static_cast<std::uint64_t>(1000 + seed));
    const int dim = randomDim(random), bits = random.pick({1, 2, 4}), vectorBits = random.pick({8, 16}),
              group = random.between(1, 9);
    const int tokens = random.pick({1, 2, 15, 16, 17, 33, 100, 257});
    Sequence sequence(random, 1, 1, dim, tokens, KvType::f16);
    const std::vector<std::int32_t> ends = randomEnds(random, 0, tokens, random.pick({1, 5, 40, 300}));
    TestContext context(Isa::scalar, 1);
    SegmentIndex index({1, 1, dim, bits, vectorBits});
    index.extend(context, sequence.kv, sequence.pages.data(), ends.data(), static_cast<int>(ends.size()));
    std::vector<float> means(ends.size() * static_cast<std::size_t>(dim)), deviations(means),
        levels(static_cast<std::size_t>(tokens * dim));
    std::vector<float> radii(ends.size());
    index.read(0, 0, means.data(), deviations.data(), levels.data(), radii.data());

    // Blocks in order, at times of listed segments alone, which then lie side by side.
    const bool listed = random.below(2) == 0;
    std::vector<std::int32_t> list;
    std::vector<SegmentBlock> blocks;
    std::vector<int> tokenAt;
    for (int s = 0; s < index.numSegments(); ++s) {
      if (listed && random.below(3) == 0) continue;
      for (const SegmentBlock& block : index.blocks()) {
        if (block.segment != s) continue;
        blocks.push_back(block);
        if (listed) {
          blocks.back().out = static_cast<std::int32_t>(tokenAt.size());
          blocks.back().segment = static_cast<std::int32_t>(list.size());
        }
        for (int i = 0; i < block.count; ++i) tokenAt.push_back(block.token + i);
      }
      list.push_back(s);
    }
    if (blocks.empty()) continue;
    const int firstBlock = random.below(static_cast<int>(blocks.size()));
    const int numBlocks = random.between(1, static_cast<int>(blocks.size()) - firstBlock);
    const SegmentBlock* some = blocks.data() + firstBlock;
    const int start = some[0].out, end = some[numBlocks - 1].out + some[numBlocks - 1].count;
    const int segment = some[0].segment, numSegments = some[numBlocks - 1].segment - segment + 1;
    const int padded = codeUnits(dim) * kUnitChannels;
    std::vector<float> q(static_cast<std::size_t>(group * padded));
    for (int h = 0; h < group; ++h) {
      for (int i = 0; i < dim; ++i)
        q[static_cast<std::size_t>(h * padded + i)] = seed % 10 == 9 ? 0 : 3 * random.normal();
    }
    const float scale = static_cast<float>(1 / std::sqrt(dim));
    const std::size_t stride = static_cast<std::size_t>(end) + 3;
    for (const NamedIsa& isa : availableIsas()) {
      std::vector<float> out(stride * static_cast<std::size_t>(group), NAN);
      const ChannelStorage::View view = channelsOf(index).head(0, 0);
      std::unique_ptr<std::byte, decltype(&std::free)> work(
          static_cast<std::byte*>(std::aligned_alloc(64, scanWorkBytes(dim, numSegments))), &std::free);
      kernelsFor(isa.isa).scan({{view.stats, listed ? list.data() + segment : nullptr, segment, numSegments, dim, vectorBits},
                                view.codes, view.planeBytes, bits, some, numBlocks,
                                static_cast<int>(blocks.size()) - firstBlock - numBlocks, {q.data(), group, scale}, work.get(),
                                out.data(), stride});
      for (int h = 0; h < group; ++h) {
        for (int p = start; p < end; ++p) {
          const int t = listed ? tokenAt[static_cast<std::size_t>(p)] : p;
          const int s = static_cast<int>(std::upper_bound(ends.begin(), ends.end(), t) - ends.begin());
          double base = 0, most = 0, plain = 0, rounded = 0, size = 0, slack = 0;
          for (int i = 0; i < dim; ++i) {
            const double qi = static_cast<double>(q[static_cast<std::size_t>(h * padded + i)]);
            const std::size_t c = static_cast<std::size_t>(s * dim + i);
            base += qi * static_cast<double>(means[c]);
            size += std::fabs(qi * static_cast<double>(means[c]));
            most = std::max(most, std::fabs(qi * static_cast<double>(deviations[c])));
          }
          for (int i = 0; i < dim; ++i) {
            const double w = static_cast<double>(q[static_cast<std::size_t>(h * padded + i)]) *
                             static_cast<double>(deviations[static_cast<std::size_t>(s * dim + i)]);
            const double level = static_cast<double>(levels[static_cast<std::size_t>(t * dim + i)]);
            plain += w * level;
            size += std::fabs(w * level);
            if (most == 0) continue;
            const double exact = w / most * 127;
            rounded += std::nearbyint(exact) * most / 127 * level;
            // Where float32 may round to the other side the result is off by one step of one weight.
            if (std::fabs(std::fabs(exact - std::trunc(exact)) - 0.5) < 1e-4) slack += most / 127 * std::fabs(level);
          }
          const double got =
              static_cast<double>(out[static_cast<std::size_t>(h) * stride + static_cast<std::size_t>(p)]);
          const double tolerance =
              2e-6 * static_cast<double>(scale) * size + static_cast<double>(scale) * slack + 1e-12;
          expect(std::fabs(got - static_cast<double>(scale) * (base + rounded)) <= tolerance,
                 "%s estimates %g, not %g, seed %d\n", isa.name, got, static_cast<double>(scale) * (base + rounded),
                 seed);
          const double bound = tolerance + static_cast<double>(scale) * 0.5 * most / 127 * 2.73 * dim;
          expect(std::fabs(got - static_cast<double>(scale) * (base + plain)) <= bound,
                 "%s estimates %g, unrounded %g, seed %d\n", isa.name, got, static_cast<double>(scale) * (base + plain),
                 seed);
        }
      }
      for (int h = 0; h < group; ++h) {
        for (std::size_t i = 0; i < stride; ++i)
          expect((i >= static_cast<std::size_t>(start) && i < static_cast<std::size_t>(end)) || std::isnan(out[static_cast<std::size_t>(h) * stride + i]), "%s writes outside the blocks, seed %d\n",
                 isa.name, seed);
      }
    }
  }
}

// Mean and variance of whole segments.
void weighsSegments() {
  for (int seed = 0; seed < 100; ++seed) {
    Random random(static_cast<std::uint64_t>(1500 + seed));
    const int dim = randomDim(random), vectorBits = random.pick({8, 16}), group = random.between(1, 5);
    const int tokens = random.pick({1, 30, 200}), padded = codeUnits(dim) * kUnitChannels;
    Sequence sequence(random, 1, 1, dim, tokens, KvType::f16);
    const std::vector<std::int32_t> ends = randomEnds(random, 0, tokens, 20);
    TestContext context(Isa::scalar, 1);
    SegmentIndex index({1, 1, dim, 0, vectorBits});
    index.extend(context, sequence.kv, sequence.pages.data(), ends.data(), static_cast<int>(ends.size()));
    const std::size_t d = static_cast<std::size_t>(dim);
    std::vector<float> means(ends.size() * d), deviations(means), levels(static_cast<std::size_t>(tokens) * d),
        radii(ends.size());
    index.read(0, 0, means.data(), deviations.data(), levels.data(), radii.data());
    std::vector<float> q(static_cast<std::size_t>(group * padded));
    for (int h = 0; h < group; ++h) {
      for (int i = 0; i < dim; ++i) q[static_cast<std::size_t>(h * padded + i)] = random.normal();
    }
    std::vector<std::int32_t> list;
    for (int s = 0; s < index.numSegments(); ++s) {
      if (random.below(2) == 0) list.push_back(s);
    }
    const bool listed = random.below(2) == 0;
    const int count = listed ? static_cast<int>(list.size()) : index.numSegments();
    const std::size_t stride = static_cast<std::size_t>(count) + 1;
    for (const NamedIsa& isa : availableIsas()) {
      std::vector<float> out(stride * static_cast<std::size_t>(group), NAN);
      kernelsFor(isa.isa).masses({{channelsOf(index).head(0, 0).stats, listed ? list.data() : nullptr, 0, count, dim, vectorBits},
                                  {q.data(), group, 0.125f}, 0.25f, out.data(), stride});
      for (int h = 0; h < group; ++h) {
        for (int n = 0; n < count; ++n) {
          const std::size_t s = static_cast<std::size_t>(listed ? list[static_cast<std::size_t>(n)] : n);
          double dot = 0, squares = 0, size = 0;
          for (std::size_t i = 0; i < d; ++i) {
            const double qi = static_cast<double>(q[static_cast<std::size_t>(h * padded) + i]);
            dot += qi * static_cast<double>(means[s * d + i]);
            size += std::fabs(qi * static_cast<double>(means[s * d + i]));
            squares += std::pow(qi * static_cast<double>(deviations[s * d + i]), 2);
          }
          const double got = static_cast<double>(out[static_cast<std::size_t>(h) * stride + static_cast<std::size_t>(n)]);
          expect(std::fabs(got - (0.125 * dot + 0.25 * squares)) <= 2e-6 * (0.125 * size + 0.25 * squares) + 1e-12,
                 "%s weighs %g, not %g, seed %d\n", isa.name, got, 0.125 * dot + 0.25 * squares, seed);
        }
        expect(std::isnan(out[static_cast<std::size_t>(h) * stride + static_cast<std::size_t>(count)]),
               "%s writes past the end, seed %d\n", isa.name, seed);
      }
    }
  }
}

void scoresRowsExactly() {
  for (int seed = 0; seed < 200; ++seed) {
    Random random(static_cast<std::uint64_t>(2000 + seed));
    const int dim = randomDim(random), group = random.between(1, 9), tokens = random.between(1, 90);
    Sequence sequence(random, 2, 2, dim, tokens, random.pick({KvType::f16, KvType::f32}));
    std::vector<std::int32_t> list;
    for (int t = 0; t < tokens; ++t) {
      if (random.below(3) == 0) list.push_back(t);
    }
    const bool listed = random.below(2) == 0;
    const int first = random.below(tokens), count = listed ? static_cast<int>(list.size()) : tokens - first;
    const int padded = codeUnits(dim) * kUnitChannels;
    std::vector<float> q(static_cast<std::size_t>(group * padded));
    for (int h = 0; h < group; ++h) {
      for (int i = 0; i < dim; ++i) q[static_cast<std::size_t>(h * padded + i)] = random.normal();
    }
    const std::size_t stride = static_cast<std::size_t>(count) + 2;
    const bool addressed = random.below(2) == 0;
    std::vector<const std::uint8_t*> rows;
    for (int n = 0; n < count; ++n)
      rows.push_back(sequence.row(1, 1, listed ? list[static_cast<std::size_t>(n)] : first + n));
    for (const NamedIsa& isa : availableIsas()) {
      std::vector<float> out(stride * static_cast<std::size_t>(group), NAN);
      kernelsFor(isa.isa).score({headKeys(sequence.kv, 1, 1, sequence.pages.data()), addressed ? rows.data() : nullptr, listed ? list.data() : nullptr,
                                 first, count, {q.data(), group, 0.125f}, out.data(), stride});
      for (int h = 0; h < group; ++h) {
        for (int n = 0; n < count; ++n) {
          const int token = listed ? list[static_cast<std::size_t>(n)] : first + n;
          double dot = 0, size = 0;
          for (int i = 0; i < dim; ++i) {
            const double term =
                static_cast<double>(q[static_cast<std::size_t>(h * padded + i)]) * sequence.key(1, 1, token, i);
            dot += term;
            size += std::fabs(term);
          }
          const double got =
              static_cast<double>(out[static_cast<std::size_t>(h) * stride + static_cast<std::size_t>(n)]);
          expect(std::fabs(got - dot * 0.125) <= 1e-6 * size + 1e-12, "%s scores %g, not %g, seed %d\n", isa.name, got,
                 dot * 0.125, seed);
        }
        expect(std::isnan(out[static_cast<std::size_t>(h) * stride + static_cast<std::size_t>(count)]),
               "%s writes past the end, seed %d\n", isa.name, seed);
      }
    }
  }
}

void softmaxPieces() {
  for (int seed = 0; seed < 200; ++seed) {
    Random random(static_cast<std::uint64_t>(3000 + seed));
    const int n = random.pick({0, 1, 3, 15, 16, 17, 31, 100, 513}), group = random.between(1, 5);
    const std::size_t stride = static_cast<std::size_t>(n) + 1;
    std::vector<float> x(stride * static_cast<std::size_t>(group)), factors(static_cast<std::size_t>(group));
    for (float& v : x) v = random.pick({1.0f, 10.0f, 1e4f}) * random.normal();
    for (float& f : factors) f = static_cast<float>(random.uniform());
    for (const NamedIsa& isa : availableIsas()) {
      const Kernels& kernels = kernelsFor(isa.isa);
      float most = -INFINITY;
      for (int i = 0; i < n; ++i) most = std::max(most, x[static_cast<std::size_t>(i)]);
      expect(kernels.maximum(x.data(), n) == most, "%s maximum, seed %d\n", isa.name, seed);
      std::vector<float> powers(x);
      const double got = static_cast<double>(kernels.powers(powers.data(), n, most));
      double sum = 0;
      for (int i = 0; i < n; ++i) {
        const double power = std::exp2(static_cast<double>(x[static_cast<std::size_t>(i)] - most));
        sum += power;
        expect(std::fabs(static_cast<double>(powers[static_cast<std::size_t>(i)]) - power) <= 4e-7 * power + 2e-38,
               "%s power, seed %d\n", isa.name, seed);
      }
      expect(std::fabs(got - sum) <= 2e-6 * sum, "%s sum of powers %g, not %g, seed %d\n", isa.name, got, sum,
             seed);
      expect(std::memcmp(&powers[static_cast<std::size_t>(n)], &x[static_cast<std::size_t>(n)], 4) == 0,
             "%s writes past the end, seed %d\n", isa.name, seed);

      std::vector<float> values(stride, NAN);
      for (float& v : powers) v = static_cast<float>(random.uniform());
      kernels.values(powers.data(), stride, group, factors.data(), 1, n, values.data());
      for (int i = 0; i < n; ++i) {
        double value = 0;
        for (int h = 0; h < group; ++h)
          value += static_cast<double>(factors[static_cast<std::size_t>(h)]) *
                   static_cast<double>(powers[static_cast<std::size_t>(h) * stride + static_cast<std::size_t>(i)]);
        expect(std::fabs(static_cast<double>(values[static_cast<std::size_t>(i)]) - value) <= 1e-6 * value,
               "%s value, seed %d\n", isa.name, seed);
      }
      expect(std::isnan(values[static_cast<std::size_t>(n)]), "%s writes past the end, seed %d\n", isa.name, seed);
      for (int i = 0; i < n; ++i)
        values[static_cast<std::size_t>(i)] =
            random.below(4) == 0 ? 0 : static_cast<float>(std::exp2(-60 * random.uniform()));
      std::int32_t low, high, key;
      const float lowValue = static_cast<float>(std::exp2(-40 * random.uniform())),
                  highValue = random.below(2) ? lowValue : 1.0f;
      std::memcpy(&low, &lowValue, 4);
      std::memcpy(&high, &highValue, 4);
      if (n > 0) values[static_cast<std::size_t>(random.below(n))] = lowValue;
      std::vector<std::int32_t> found(stride), expected;
      const int count = kernels.findKeys(values.data(), n, low, high, found.data());
      for (int i = 0; i < n; ++i) {
        std::memcpy(&key, &values[static_cast<std::size_t>(i)], 4);
        if (key >= low && key <= high) expected.push_back(i);
      }
      found.resize(static_cast<std::size_t>(count));
      expect(found == expected, "%s findKeys, seed %d\n", isa.name, seed);
      std::int32_t probes[kProbes] = {0, low, high, 0x7fffffff}, counts[kProbes];
      if (n > 1) values[static_cast<std::size_t>(random.below(n))] = -1;
      kernels.countKeys(values.data(), n, probes, counts);
      for (int p = 0; p < kProbes; ++p) {
        int wanted = 0;
        for (int i = 0; i < n; ++i) {
          std::memcpy(&key, &values[static_cast<std::size_t>(i)], 4);
          wanted += key >= probes[p] ? 1 : 0;
        }
        expect(counts[p] == wanted, "%s counts %d keys, not %d, seed %d\n", isa.name, counts[p], wanted, seed);
      }
    }
  }
}

// Against sorting, with many ties, zeros, rows of unlike length, budgets from none to more than there is.
void cutsByBudget() {
  for (int seed = 0; seed < 600; ++seed) {
    Random random(static_cast<std::uint64_t>(4000 + seed));
    const int numRows = random.between(1, 8), longest = random.pick({1, 2, 17, 64, 300}),
              kinds = random.pick({1, 2, 5, 1000});
    const bool listed = random.below(2) == 0, joint = random.below(3) != 0;
    const std::size_t stride = static_cast<std::size_t>(longest) + 5;
    std::vector<float> values(stride * static_cast<std::size_t>(numRows), NAN);
    std::vector<std::int32_t> tokens(values.size()), counts, candidates;
    std::vector<std::vector<double>> rowValues(static_cast<std::size_t>(numRows));
    std::vector<std::vector<int>> rowTokens(rowValues.size());
    for (std::size_t row = 0; row < rowValues.size(); ++row) {
      const int count = random.below(4) == 0 ? random.below(longest + 1) : longest;
      counts.push_back(count);
      int token = 0;
      candidates.push_back(0);
      for (int i = 0; i < count; ++i) {
        const bool dropped = random.below(8) == 0;
        const float value = dropped ? -1 : kinds == 1000 ? static_cast<float>(std::exp2(-50 * random.uniform()))
                                          : 0.25f * static_cast<float>(random.below(kinds));
        token = listed ? token + random.between(1, 3) : i;
        values[row * stride + static_cast<std::size_t>(i)] = value;
        tokens[row * stride + static_cast<std::size_t>(i)] = token;
        if (dropped) continue;
        ++candidates.back();
        rowValues[row].push_back(static_cast<double>(value));
        rowTokens[row].push_back(token);
      }
    }
    const int perRow = random.pick({0, 1, 2, 3, 4, 5, longest / 2, longest - 1, longest, longest + 1, 3 * longest});
    std::vector<int> budgets;
    for (int row = 0; row < numRows; ++row)
      budgets.push_back(random.below(4) == 0 ? random.below(perRow + 1) : perRow);
    const std::vector<std::vector<bool>> wanted = sortedChoice(rowValues, rowTokens, budgets, joint);
    for (const NamedIsa& isa : availableIsas()) {
      const Kernels& kernels = kernelsFor(isa.isa);
      std::vector<const std::int32_t*> tokenRows;
      for (std::size_t row = 0; row < rowValues.size(); ++row)
        tokenRows.push_back(listed ? tokens.data() + row * stride : nullptr);
      const ValueRows rows = {values.data(), stride, tokenRows.data(), counts.data(), candidates.data(), numRows};
      std::vector<std::int32_t> positions(stride);
      std::vector<Cut> cuts(rowValues.size());
      cutRows(kernels, rows, budgets.data(), joint, positions.data(), cuts.data());
      for (int row = 0; row < numRows; ++row) {
        const std::size_t r = static_cast<std::size_t>(row);
        std::vector<int> expected;
        for (std::size_t i = 0; i < rowTokens[r].size(); ++i) {
          if (wanted[r][i]) expected.push_back(rowTokens[r][i]);
        }
        const int kept = keptTokens(kernels, rows, row, cuts[r], positions.data(), positions.data());
        expect(std::vector<int>(positions.begin(), positions.begin() + kept) == expected,
               "%s keeps other tokens than sorting does, seed %d row %d: %d, not %zu\n", isa.name, seed, row, kept,
               expected.size());
      }
    }
  }
}

}  // namespace

int runSelectionKernelTests() {
  estimatesTokens();
  weighsSegments();
  scoresRowsExactly();
  softmaxPieces();
  cutsByBudget();
  return report("selection kernels");
}

}  // namespace kvasir::test

int main() { return kvasir::test::runSelectionKernelTests(); }
