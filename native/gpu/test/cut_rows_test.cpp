// cutRows against a choice by sorting, as the reference makes it.
#include <algorithm>
#include <cmath>
#include <limits>


#include "choose_budget.h"
#include "suite.h"

namespace kvasir::gpu::test {
namespace {

enum Kind { kNormal, kEqual, kFew, kZeros, kTiny, kSame };
const char* const kKinds[] = {"spread", "all equal", "few values", "nearly all 0", "down to subnormals", "rows alike"};

struct Shape {
  int sets, rows, count;
  bool joint, tokens;
  Kind kind;
  int wanted;  // a row, about; -1: any number
};

std::string nameOf(const Shape& s) {
  return std::to_string(s.sets) + " x " + std::to_string(s.rows) + " x " + std::to_string(s.count) + (s.joint ? ", joint" : "") +
         (s.tokens ? ", listed, " : ", ") + kKinds[s.kind] + ", " + std::to_string(s.wanted) + " wanted";
}

float drawValue(Random& random, Kind kind) {
  const float spread = std::exp2(-0.001f * static_cast<float>(drawInt(random, 0, 30000)));
  if (kind == kEqual) return 0.25f;
  if (kind == kFew) return 0.125f * static_cast<float>(drawInt(random, 0, 5));
  if (kind == kZeros) return drawInt(random, 0, 20) == 0 ? spread : 0.0f;
  if (kind == kTiny) return std::ldexp(spread, -drawInt(random, 0, 120));
  return spread;
}

void run(Case& c, const Shape& s) {
  const int stride = s.count + drawInt(c.random, 0, 3), maxTokens = s.tokens ? 5 * stride + 1 : std::max(1, stride);
  const std::size_t lists = static_cast<std::size_t>(s.sets * s.rows), all = lists * static_cast<std::size_t>(stride);
  // Negative all of it, NaN too: what lies behind a row's end must not be looked at.
  std::vector<float> values(all, -std::numeric_limits<float>::quiet_NaN());
  std::vector<std::int32_t> tokens(all, -1), counts(lists), wanted(lists), want(all, static_cast<std::int32_t>(0xCDCDCDCD)), wantCounts(lists);
  for (int set = 0; set < s.sets; ++set) {
    std::vector<std::vector<Candidate>> rows(static_cast<std::size_t>(s.rows));
    std::vector<int> asked;
    for (int row = 0; row < s.rows; ++row) {
      const std::size_t list = static_cast<std::size_t>(set * s.rows + row), at = list * static_cast<std::size_t>(stride);
      counts[list] = drawInt(c.random, 0, 4) == 0 ? drawInt(c.random, 0, s.count) : s.count;
      wanted[list] = s.wanted >= 0 ? s.wanted + (s.wanted > 3 ? drawInt(c.random, -3, 3) : 0) : drawInt(c.random, 0, s.count + 2);
      asked.push_back(wanted[list]);
      std::int32_t token = 0;
      for (int i = 0; i < counts[list]; ++i) {
        token += s.tokens ? drawInt(c.random, 1, 5) : i > 0 ? 1 : 0;
        const bool candidate = drawInt(c.random, 0, 9) != 0;
        const float value = s.kind == kSame && row > 0 && i < counts[list - 1] ? values[at - static_cast<std::size_t>(stride) + static_cast<std::size_t>(i)]
                                                                               : drawValue(c.random, s.kind);
        values[at + static_cast<std::size_t>(i)] = candidate || s.kind == kSame ? value : -1.0f;
        tokens[at + static_cast<std::size_t>(i)] = token;
        if (values[at + static_cast<std::size_t>(i)] >= 0.0f) rows[static_cast<std::size_t>(row)].push_back({row, token, value});
      }
    }
    const std::vector<std::vector<std::int32_t>> kept = chooseBudget(rows, asked, s.joint);
    for (int row = 0; row < s.rows; ++row) {
      const std::size_t list = static_cast<std::size_t>(set * s.rows + row);
      wantCounts[list] = static_cast<std::int32_t>(kept[static_cast<std::size_t>(row)].size());
      std::copy(kept[static_cast<std::size_t>(row)].begin(), kept[static_cast<std::size_t>(row)].end(),
                want.begin() + static_cast<std::ptrdiff_t>(list * static_cast<std::size_t>(stride)));
    }
  }
  const auto deviceValues = c.upload(values);
  const auto deviceTokens = c.upload(tokens), deviceCounts = c.upload(counts), deviceWanted = c.upload(wanted);
  const auto kept = c.poisoned<std::int32_t>(all), keptCounts = c.poisoned<std::int32_t>(lists);
  const auto workspace = c.poisoned<std::uint64_t>(lists);
  KvasirCutRowsArgs args{};
  args.values = deviceValues.get();
  args.tokens = s.tokens ? deviceTokens.get() : nullptr;
  args.counts = deviceCounts.get();
  args.wanted = deviceWanted.get();
  args.sets = s.sets;
  args.rows = s.rows;
  args.stride = stride;
  args.maxTokens = maxTokens;
  args.joint = s.joint ? 1 : 0;
  args.kept = kept.get();
  args.keptCounts = keptCounts.get();
  args.workspace = workspace.get();
  c.ok(c.gpu.cutRows(c.stream, &args), "cutRows");
  c.same(c.download(keptCounts), wantCounts, "counts");
  c.same(c.download(kept), want, "tokens");
}

}  // namespace

namespace tests {

void cutRows(Suite& suite) {
  std::vector<Shape> shapes;
  for (const bool joint : {false, true}) {
    for (const Kind kind : {kNormal, kEqual, kFew, kZeros, kTiny, kSame}) {
      shapes.push_back({1, 3, 300, joint, false, kind, 40});
      shapes.push_back({2, 8, 150, joint, true, kind, 30});
      shapes.push_back({1, 5, 90, joint, true, kind, -1});
    }
    for (const int wanted : {0, 1, 4, 70, 71, 1000}) shapes.push_back({1, 2, 70, joint, true, kNormal, wanted});
    shapes.push_back({1, 1, 1, joint, false, kNormal, 1});
    shapes.push_back({1, 40, 33, joint, true, kFew, 9});
    shapes.push_back({3, 2, 0, joint, true, kNormal, 5});
    shapes.push_back({0, 2, 5, joint, true, kNormal, 5});
    shapes.push_back({1, 4, 1500, joint, true, kTiny, 200});
  }
  if (!suite.quick) {
    for (int i = 0; i < 30; ++i) shapes.push_back({1, 1 + i % 7, 40 + 37 * i, i % 3 != 0, i % 2 == 0, static_cast<Kind>(i % 6), i % 4 == 0 ? -1 : 5 * i});
  }
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const Shape& s = shapes[i];
    suite.run("cutRows", nameOf(s) + ", case " + std::to_string(i), [&](Case& c) { run(c, s); });
  }
  suite.run("cutRows", "refuses what it cannot do", [](Case& c) {
    KvasirCutRowsArgs args{};
    args.sets = args.rows = 1;
    args.maxTokens = 0;
    c.check(c.gpu.cutRows(c.stream, &args) == KVASIR_GPU_INVALID, "no tokens at all");
    args.maxTokens = 1 << 25;
    c.check(c.gpu.cutRows(c.stream, &args) == KVASIR_GPU_INVALID, "too many tokens");
    args.maxTokens = 10;
    args.rows = KVASIR_CUT_MAX_ROWS + 1;
    c.check(c.gpu.cutRows(c.stream, &args) == KVASIR_GPU_INVALID, "too many rows");
    args.rows = 1;
    args.stride = 11;
    c.check(c.gpu.cutRows(c.stream, &args) == KVASIR_GPU_INVALID, "rows longer than there are tokens");
    args.stride = -1;
    c.check(c.gpu.cutRows(c.stream, &args) == KVASIR_GPU_INVALID, "a negative stride");
  });
}

}  // namespace tests
}  // namespace kvasir::gpu::test
