// Every kernel of the selection table on every instruction set against float64.
#include "selection_check.h"
#include "selection_data.h"

#include "../cpu/selection/budget.h"
#include "../cpu/selection/kernels.h"

namespace kvasir::test {
namespace {

using namespace selection;

const int dims[] = {1, 2, 7, 16, 24, 40, 64, 65, 80, 96, 100, 128, 192, 256, 512};
int randomDim(Random& random) { return dims[random.below(static_cast<int>(std::size(dims)))]; }

struct Encoded {
  std::vector<std::uint8_t> stats, codes;
  std::size_t planeBytes;
};

Encoded encodeWith(Isa isa, Sequence& sequence, int start, int end, int bits) {
  Encoded out;
  const std::size_t tokens = static_cast<std::size_t>(end - start);
  out.planeBytes = tokens * static_cast<std::size_t>(rowBytes(bits));
  out.stats.assign(statBytes(sequence.headDim), 0xcd);
  out.codes.assign(out.planeBytes * static_cast<std::size_t>(codeUnits(sequence.headDim)) + kCodeSlackBytes, 0xcd);
  kernelsFor(isa).encode({headKeys(sequence.kv, 0, 0, sequence.pages.data()), start, end, bits, out.stats.data(),
                          out.codes.data(), out.planeBytes});
  return out;
}

struct Decoded {
  std::vector<double> mean, deviation;
  std::vector<int> steps;  // [token][channel]
};

Decoded decode(const Encoded& encoded, int dim, int tokens, int bits) {
  Decoded out;
  const int padded = statDim(dim), row = rowBytes(bits);
  const std::uint8_t* bytes = encoded.stats.data() + 2 * padded;
  float step;
  std::memcpy(&step, bytes + padded, 4);
  for (int i = 0; i < dim; ++i) {
    std::uint16_t half;
    std::memcpy(&half, encoded.stats.data() + 2 * i, 2);
    out.mean.push_back(static_cast<double>(halfToFloat(half)));
    out.deviation.push_back(static_cast<double>(static_cast<float>(bytes[i]) * step));
  }
  for (int t = 0; t < tokens; ++t) {
    for (int i = 0; i < dim; ++i) {
      const std::uint8_t* codes = encoded.codes.data() + static_cast<std::size_t>(i / 64) * encoded.planeBytes +
                                  static_cast<std::size_t>(t * row);
      out.steps.push_back(codeStep(bits, codes[i % 64 % row] >> (i % 64 / row * bits) & ((1 << bits) - 1)));
    }
  }
  return out;
}

void encodesMeansDeviationsAndResiduals() {
  for (int seed = 0; seed < 200; ++seed) {
    Random random(static_cast<std::uint64_t>(seed));
    const int dim = randomDim(random), start = random.below(40),
              tokens = random.pick({1, 2, 3, 15, 16, 17, 25, 64, 130});
    const int bits = random.between(1, 2);
    Sequence sequence(random, 1, 1, dim, start + tokens, random.pick({KvType::f16, KvType::f32}));
    const Encoded plain = encodeWith(Isa::scalar, sequence, start, start + tokens, bits);
    for (const NamedIsa& isa : availableIsas()) {
      const Encoded other = encodeWith(isa.isa, sequence, start, start + tokens, bits);
      expect(other.stats == plain.stats && other.codes == plain.codes, "%s encodes other bits, seed %d\n", isa.name,
             seed);
    }
    const Decoded got = decode(plain, dim, tokens, bits);
    std::vector<double> mean(static_cast<std::size_t>(dim)), deviation(mean);
    double most = 0;
    for (int i = 0; i < dim; ++i) {
      double sum = 0, squares = 0;
      for (int t = 0; t < tokens; ++t) sum += sequence.key(0, 0, start + t, i);
      const double c = sum / tokens;
      for (int t = 0; t < tokens; ++t) squares += std::pow(sequence.key(0, 0, start + t, i) - c, 2);
      mean[static_cast<std::size_t>(i)] = c;
      deviation[static_cast<std::size_t>(i)] = std::sqrt(squares / tokens);
      most = std::max(most, deviation[static_cast<std::size_t>(i)]);
    }
    for (int i = 0; i < dim; ++i) {
      const std::size_t c = static_cast<std::size_t>(i);
      expect(std::fabs(got.mean[c] - mean[c]) <= 0x1p-11 * std::fabs(mean[c]) + 1e-5, "mean %g, not %g, seed %d\n",
             got.mean[c], mean[c], seed);
      expect(std::fabs(got.deviation[c] - deviation[c]) <= most / 509 + 1e-5, "deviation %g, not %g, seed %d\n",
             got.deviation[c], deviation[c], seed);
      if (i == 3) expect(got.deviation[c] == 0, "constant channel has deviation %g, seed %d\n", got.deviation[c], seed);
      for (int t = 0; t < tokens && got.deviation[c] > 0; ++t) {
        const double r = (sequence.key(0, 0, start + t, i) - got.mean[c]) / got.deviation[c];
        const double edges[] = {-0.982, 0, 0.982};
        int code = 0;
        bool close = false;
        for (const double edge : edges) {
          if (bits == 1 && edge != 0) continue;
          code += r >= edge ? 1 : 0;
          close = close || std::fabs(r - edge) < 1e-5;
        }
        expect(close || got.steps[static_cast<std::size_t>(t * dim + i)] == codeStep(bits, code),
               "wrong code of %g, seed %d\n", r, seed);
      }
    }
  }
}

void levelsAreTheQuantisers() {
  const double two[] = {-1.510, -0.453, 0.453, 1.510};
  for (int code = 0; code < 4; ++code) {
    const CodeScale scale = codeScale(2);
    expect(std::fabs(static_cast<double>(scale.unit * static_cast<float>(codeStep(2, code) - scale.zero)) - two[code]) <
               1e-6,
           "level of code %d\n", code);
  }
  for (int code = 0; code < 2; ++code) {
    const CodeScale scale = codeScale(1);
    expect(std::fabs(static_cast<double>(scale.unit * static_cast<float>(codeStep(1, code) - scale.zero)) -
                     (code ? 0.798 : -0.798)) < 1e-6,
           "level of sign %d\n", code);
  }
}

// Estimates with weights rounded as the formula says, and without rounding (a bound in place of a tolerance).
void estimatesTokens() {
  for (int seed = 0; seed < 200; ++seed) {
    Random random(static_cast<std::uint64_t>(1000 + seed));
    const int dim = randomDim(random), bits = random.between(1, 2), group = random.between(1, 9);
    const int tokens = random.pick({1, 2, 15, 16, 17, 33, 100, 257});
    Sequence sequence(random, 1, 1, dim, tokens, KvType::f16);
    const std::vector<std::int32_t> ends = randomEnds(random, 0, tokens, random.pick({1, 5, 40, 300}));
    TestContext context(Isa::scalar, 1);
    SegmentIndex index({1, 1, dim, bits});
    index.extend(context, sequence.kv, sequence.pages.data(), ends.data(), static_cast<int>(ends.size()));
    std::vector<float> means(ends.size() * static_cast<std::size_t>(dim)), deviations(means),
        levels(static_cast<std::size_t>(tokens * dim));
    index.read(0, 0, means.data(), deviations.data(), levels.data());

    const int start = random.below(tokens), end = random.between(start + 1, tokens);
    const int segment = static_cast<int>(std::upper_bound(ends.begin(), ends.end(), start) - ends.begin());
    const int padded = codeUnits(dim) * kUnitChannels;
    std::vector<float> q(static_cast<std::size_t>(group * padded));
    for (int h = 0; h < group; ++h) {
      for (int i = 0; i < dim; ++i)
        q[static_cast<std::size_t>(h * padded + i)] = seed % 10 == 9 ? 0 : 3 * random.normal();
    }
    const float scale = static_cast<float>(1 / std::sqrt(dim));
    const std::size_t stride = static_cast<std::size_t>(end - start) + 3;
    for (const NamedIsa& isa : availableIsas()) {
      std::vector<float> out(stride * static_cast<std::size_t>(group), NAN);
      std::vector<std::int8_t> weights(q.size(), 0);
      const SegmentIndex::HeadView view = index.head(0, 0);
      kernelsFor(isa.isa).scan({view.stats, view.codes, view.planeBytes, ends.data(), segment, start, end, dim, bits,
                                q.data(), group, scale, weights.data(), out.data(), stride});
      for (int h = 0; h < group; ++h) {
        int s = segment;
        for (int t = start; t < end; ++t) {
          while (ends[static_cast<std::size_t>(s)] <= t) ++s;
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
              static_cast<double>(out[static_cast<std::size_t>(h) * stride + static_cast<std::size_t>(t - start)]);
          const double tolerance =
              2e-6 * static_cast<double>(scale) * size + static_cast<double>(scale) * slack + 1e-12;
          expect(std::fabs(got - static_cast<double>(scale) * (base + rounded)) <= tolerance,
                 "%s estimates %g, not %g, seed %d\n", isa.name, got, static_cast<double>(scale) * (base + rounded),
                 seed);
          const double bound = tolerance + static_cast<double>(scale) * 0.5 * most / 127 * 1.51 * dim;
          expect(std::fabs(got - static_cast<double>(scale) * (base + plain)) <= bound,
                 "%s estimates %g, unrounded %g, seed %d\n", isa.name, got, static_cast<double>(scale) * (base + plain),
                 seed);
        }
      }
      for (int h = 0; h < group; ++h) {
        for (std::size_t i = static_cast<std::size_t>(end - start); i < stride; ++i)
          expect(std::isnan(out[static_cast<std::size_t>(h) * stride + i]), "%s writes past the end, seed %d\n",
                 isa.name, seed);
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
                                 first, count, q.data(), group, 0.125f, out.data(), stride});
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
      const double got = static_cast<double>(kernels.exponentials(powers.data(), n, most));
      double sum = 0;
      for (int i = 0; i < n; ++i) {
        const double power = std::exp(static_cast<double>(x[static_cast<std::size_t>(i)] - most));
        sum += power;
        expect(std::fabs(static_cast<double>(powers[static_cast<std::size_t>(i)]) - power) <= 4e-7 * power + 2e-38,
               "%s exp, seed %d\n", isa.name, seed);
      }
      expect(std::fabs(got - sum) <= 2e-6 * sum, "%s sum of exponentials %g, not %g, seed %d\n", isa.name, got, sum,
             seed);
      expect(std::memcmp(&powers[static_cast<std::size_t>(n)], &x[static_cast<std::size_t>(n)], 4) == 0,
             "%s writes past the end, seed %d\n", isa.name, seed);

      std::vector<float> values(stride, NAN);
      for (float& v : powers) v = static_cast<float>(random.uniform());
      kernels.values(powers.data(), stride, group, factors.data(), 1, n, values.data());
      std::vector<std::uint32_t> counts(kBuckets), wanted(kBuckets);
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
      kernels.histogram(values.data(), n, counts.data());
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
      long total = 0;
      for (const std::uint32_t c : counts) total += c;
      expect(total == n, "%s histogram loses values, seed %d\n", isa.name, seed);
    }
  }
}

void bucketsFollowTheOrder() {
  Random random(5);
  float previous = 0;
  int bucket = 0;
  for (int i = 0; i < 4000; ++i) {
    const float value =
        static_cast<float>(std::exp2(-60 + 70.0 * i / 4000)) * (1 + 1e-3f * static_cast<float>(random.uniform()));
    std::int32_t key;
    std::memcpy(&key, &value, 4);
    if (value >= previous) expect(bucketOf(key) >= bucket, "bucket of %g falls\n", static_cast<double>(value));
    previous = value;
    bucket = bucketOf(key);
  }
  expect(bucketOf(-1) == 0 && bucketOf(0x7fffffff) == kBuckets - 1, "odd keys leave the histogram%s\n", "");
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
    std::vector<std::int32_t> tokens(values.size()), counts;
    std::vector<std::vector<double>> rowValues(static_cast<std::size_t>(numRows));
    std::vector<std::vector<int>> rowTokens(rowValues.size());
    for (std::size_t row = 0; row < rowValues.size(); ++row) {
      const int count = random.below(4) == 0 ? random.below(longest + 1) : longest;
      counts.push_back(count);
      int token = 0;
      for (int i = 0; i < count; ++i) {
        const float value = kinds == 1000 ? static_cast<float>(std::exp2(-50 * random.uniform()))
                                          : 0.25f * static_cast<float>(random.below(kinds));
        token = listed ? token + random.between(1, 3) : i;
        values[row * stride + static_cast<std::size_t>(i)] = value;
        tokens[row * stride + static_cast<std::size_t>(i)] = token;
        rowValues[row].push_back(static_cast<double>(value));
        rowTokens[row].push_back(token);
      }
    }
    const int perRow = random.pick({0, 1, 2, 3, 4, 5, longest / 2, longest - 1, longest, longest + 1, 3 * longest});
    const std::vector<std::vector<bool>> wanted = sortedChoice(rowValues, rowTokens, perRow, joint);
    for (const NamedIsa& isa : availableIsas()) {
      const Kernels& kernels = kernelsFor(isa.isa);
      std::vector<std::uint32_t> histograms(static_cast<std::size_t>(numRows) * kBuckets);
      for (std::size_t row = 0; row < rowValues.size(); ++row)
        kernels.histogram(values.data() + row * stride, counts[row], histograms.data() + row * kBuckets);
      const ValueRows rows = {values.data(), listed ? tokens.data() : nullptr, stride, counts.data(), numRows};
      std::vector<std::int32_t> positions(stride);
      std::vector<Cut> cuts(rowValues.size());
      cutRows(kernels, rows, histograms.data(), perRow, joint, positions.data(), cuts.data());
      for (int row = 0; row < numRows; ++row) {
        const std::size_t r = static_cast<std::size_t>(row);
        std::vector<int> expected;
        for (std::size_t i = 0; i < rowTokens[r].size(); ++i) {
          if (wanted[r][i]) expected.push_back(rowTokens[r][i]);
        }
        const int kept = keptTokens(kernels, rows, row, cuts[r], positions.data());
        expect(std::vector<int>(positions.begin(), positions.begin() + kept) == expected,
               "%s keeps other tokens than sorting does, seed %d row %d: %d, not %zu\n", isa.name, seed, row, kept,
               expected.size());
      }
    }
  }
}

}  // namespace

int runSelectionKernelTests() {
  encodesMeansDeviationsAndResiduals();
  levelsAreTheQuantisers();
  estimatesTokens();
  scoresRowsExactly();
  softmaxPieces();
  bucketsFollowTheOrder();
  cutsByBudget();
  return report("selection kernels");
}

}  // namespace kvasir::test

int main() { return kvasir::test::runSelectionKernelTests(); }
