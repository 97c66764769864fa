#include "plan.h"

#include <algorithm>
#include <numeric>

#include "channel_storage.h"
#include "kept.h"
#include "layout.h"

namespace kvasir::selection {

std::vector<HeadPlan> planHeads(const SelectInput& input, const BudgetRule& rule, int first, int end) {
  std::vector<HeadPlan> plans(static_cast<std::size_t>(input.kv.numKvHeads));
  for (int kvHead = 0; kvHead < input.kv.numKvHeads; ++kvHead) {
    HeadPlan& plan = plans[static_cast<std::size_t>(kvHead)];
    const int numVisible = countKept(input.kept, kvHead, 0, first) + countKept(input.kept, kvHead, end, input.numTokens);
    plan.begin = first;
    plan.end = end;
    plan.candidates = countKept(input.kept, kvHead, first, end);
    plan.wanted = std::min(plan.candidates, std::max(0, rule.budgetTokens - numVisible));
  }
  return plans;
}

void listVisible(const SelectInput& input, HeadPlan& plan, int kvHead) {
  const auto list = [&](int from, int to) {
    for (int token = from; token < to; ++token) plan.visible.push_back(token);
  };
  plan.visible.reserve(static_cast<std::size_t>(plan.begin + input.numTokens - plan.end));
  forEachKeptSpan(input.kept, kvHead, 0, plan.begin, list);
  forEachKeptSpan(input.kept, kvHead, plan.end, input.numTokens, list);
}

void listCandidates(const SelectInput& input, HeadPlan& plan, int kvHead) {
  std::vector<std::int32_t> kept;
  for (int position = plan.begin; position < plan.end; ++position) {
    const std::int32_t token = plan.tokenAt(position);
    if (isKept(input.kept, kvHead, token)) kept.push_back(token);
  }
  plan.ownTokens.swap(kept);
  plan.tokens = plan.ownTokens.data();
  plan.begin = 0;
  plan.end = static_cast<int>(plan.ownTokens.size());
}

void scanAll(const SegmentIndex& index, HeadPlan& plan) {
  const std::vector<SegmentBlock>& blocks = index.blocks();
  const auto first = std::partition_point(blocks.begin(), blocks.end(),
                                          [&](const SegmentBlock& block) { return block.out + block.count <= plan.begin; });
  const auto end =
      std::partition_point(first, blocks.end(), [&](const SegmentBlock& block) { return block.out < plan.end; });
  plan.blocks = blocks.data() + (first - blocks.begin());
  plan.numBlocks = static_cast<int>(end - first);
}

void scanBest(const SelectInput& input, const SegmentIndex& index, const float* values, int most, HeadPlan& plan,
              int kvHead) {
  const std::vector<std::int32_t>& ends = index.ends();
  const int first = plan.begin, end = plan.end;
  std::vector<std::int32_t> order(ends.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return values[a] != values[b] ? values[a] > values[b] : a < b;
  });
  plan.ownSegments.clear();
  plan.candidates = 0;
  for (const std::int32_t segment : order) {
    if (plan.candidates >= most) break;
    const int from = std::max(first, segment == 0 ? 0 : ends[static_cast<std::size_t>(segment) - 1]);
    const int count = countKept(input.kept, kvHead, from, std::min(end, ends[static_cast<std::size_t>(segment)]));
    if (count == 0) continue;
    plan.candidates += count;
    plan.ownSegments.push_back(segment);
  }
  std::sort(plan.ownSegments.begin(), plan.ownSegments.end());

  plan.ownTokens.clear();
  plan.ownBlocks.clear();
  for (std::size_t place = 0; place < plan.ownSegments.size(); ++place) {
    const std::size_t segment = static_cast<std::size_t>(plan.ownSegments[place]);
    const std::int32_t start = segment == 0 ? 0 : ends[segment - 1];
    for (std::int32_t at = start; at < ends[segment]; at += kBlockTokens) {
      const std::int32_t count = std::min(kBlockTokens, ends[segment] - at);
      plan.ownBlocks.push_back({at, static_cast<std::int32_t>(plan.ownTokens.size()), static_cast<std::int32_t>(place),
                                count});
      for (std::int32_t i = 0; i < count; ++i) plan.ownTokens.push_back(at + i);
    }
  }
  plan.tokens = plan.ownTokens.data();
  plan.segments = plan.ownSegments.data();
  plan.blocks = plan.ownBlocks.data();
  plan.numBlocks = static_cast<int>(plan.ownBlocks.size());
  const auto position = [&](int token) {
    return static_cast<int>(std::lower_bound(plan.ownTokens.begin(), plan.ownTokens.end(), token) -
                            plan.ownTokens.begin());
  };
  plan.begin = position(first);
  plan.end = position(end);
}

namespace {

// Values of all segments of a KV head: the probability of one of their tokens under mean and variance, summed over the
// query heads.
std::vector<float> segmentValues(Context& context, const SelectInput& input, const float* q, const SegmentIndex& index,
                                 int kvHead) {
  const int dim = input.kv.headDim, paddedDim = codeUnits(dim) * kUnitChannels;
  const int group = input.numHeads / input.kv.numKvHeads, count = index.numSegments();
  const Kernels& kernels = kernelsFor(context.isa());
  std::vector<float> queries(static_cast<std::size_t>(group * paddedDim)), masses(static_cast<std::size_t>(group * count)), values(static_cast<std::size_t>(count));
  for (int head = 0; head < group; ++head) {
    std::copy_n(q + static_cast<std::size_t>((kvHead * group + head) * dim), dim, queries.begin() + head * paddedDim);
  }
  kernels.masses({{channelsOf(index).head(input.layer, kvHead).stats, nullptr, 0, count, dim, index.shape().vectorBits},
                  {queries.data(), group, input.scale * kLog2E},
                  varianceScale(input.scale),
                  masses.data(),
                  static_cast<std::size_t>(count)});
  std::vector<float> factors(static_cast<std::size_t>(group));
  for (int head = 0; head < group; ++head) {
    float* row = masses.data() + static_cast<std::size_t>(head * count);
    kernels.powers(row, count, kernels.maximum(row, count));
    double sum = 0;
    for (int s = 0; s < count; ++s) {
      const std::size_t i = static_cast<std::size_t>(s);
      sum += static_cast<double>(row[s]) * (index.ends()[i] - (s == 0 ? 0 : index.ends()[i - 1]));
    }
    factors[static_cast<std::size_t>(head)] = static_cast<float>(1.0 / sum);
  }
  kernels.values(masses.data(), static_cast<std::size_t>(count), group, factors.data(), 1, count, values.data());
  return values;
}

}  // namespace

void planScans(Context& context, const SelectInput& input, const float* q, const SegmentIndex& index,
               const SegmentRule& rule, std::vector<HeadPlan>& plans) {
  const double most = rule.prefilterFactor * rule.budget.budgetTokens;
  const bool prefilters = rule.prefilterFactor > 0 && index.shape().basis == CodeBasis::channels;
  context.forEach(prefilters ? input.kv.numKvHeads : 0, [&](int kvHead, int) {
    HeadPlan& plan = plans[static_cast<std::size_t>(kvHead)];
    if (static_cast<double>(plan.candidates) <= most) return;
    const std::vector<float> values = segmentValues(context, input, q, index, kvHead);
    scanBest(input, index, values.data(), static_cast<int>(most), plan, kvHead);
  });
  for (HeadPlan& plan : plans) {
    if (!plan.blocks) scanAll(index, plan);
  }
}

}  // namespace kvasir::selection
