#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "../runtime/gpu/device_index.h"
#include "arguments.h"
#include "calls.h"

namespace kvasir::node {
namespace {

BudgetRule ruleOf(const Napi::CallbackInfo& info, int from) {
  return {integerOf(info[from], "budgetTokens"), integerOf(info[from + 1], "sinkTokens"),
          integerOf(info[from + 2], "recentTokens"), info[from + 3].ToBoolean()};
}

// Keeps the index that it reads.
struct IndexedSelector final : SegmentSelector {
  IndexedSelector(std::shared_ptr<SegmentIndex> held, const SegmentRule& rule)
      : SegmentSelector(*held, rule), index(std::move(held)) {}
  std::shared_ptr<SegmentIndex> index;
};

SegmentRule segmentRuleOf(const Napi::CallbackInfo& info, int from) {
  const auto number = [&](int i) { return info[from + i].ToNumber().DoubleValue(); };
  SegmentRule rule;
  rule.budget = ruleOf(info, from);
  rule.poolFactor = number(4);
  rule.prefilterFactor = number(5);
  rule.query = static_cast<QueryKind>(integerOf(info[from + 6], "query"));
  rule.emaDecay = static_cast<float>(number(7));
  rule.rerankSteps = integerOf(info[from + 8], "rerankSteps");
  rule.driftLimit = static_cast<float>(number(9));
  rule.certify = static_cast<Certify>(integerOf(info[from + 10], "certify"));
  return rule;
}

}  // namespace

Napi::Value createSegmentIndex(const Napi::CallbackInfo& info) {
  const SegmentIndexShape shape{integerOf(info[0], "numLayers"), integerOf(info[1], "numKvHeads"),
                                integerOf(info[2], "headDim"), integerOf(info[3], "codeBits"),
                                integerOf(info[4], "vectorBits"),
                                static_cast<CodeBasis>(integerOf(info[5], "basis"))};
  require(info.Env(), shape.numLayers >= 1 && shape.numKvHeads >= 1, "numLayers, numKvHeads");
  require(info.Env(), shape.headDim >= 1 && shape.headDim <= kMaxSelectHeadDim, "headDim");
  require(info.Env(), shape.codeBits >= 0 && shape.codeBits <= 4 && shape.codeBits != 3, "codeBits");
  require(info.Env(), shape.vectorBits == 8 || shape.vectorBits == 16, "vectorBits");
  require(info.Env(), shape.basis == CodeBasis::channels || (shape.basis == CodeBasis::principal && shape.codeBits > 0),
          "basis");
  return wrap(info.Env(), std::make_shared<SegmentIndex>(shape));
}

Napi::Value extendSegmentIndex(const Napi::CallbackInfo& info) {
  Runtime& runtime = unwrap<Runtime>(info[0]);
  const std::uint32_t job = info[1].As<Napi::Number>().Uint32Value();
  const std::shared_ptr<SegmentIndex> index = sharedOf<SegmentIndex>(info[2]);
  const std::shared_ptr<Arena> arena = sharedOf<Arena>(info[3]);
  const Slice<const std::int32_t> pageSlice = indicesOf(info[4], "pages");
  const Slice<const std::int32_t> endSlice = indicesOf(info[5], "ends");
  const std::vector<std::int32_t> pages(pageSlice.data, pageSlice.data + pageSlice.length);
  const std::vector<std::int32_t> ends(endSlice.data, endSlice.data + endSlice.length);
  for (const std::int32_t page : pages) require(info.Env(), page >= 0 && page < arena->shape.capacityPages, "pages");
  for (std::size_t i = 1; i < ends.size(); ++i) require(info.Env(), ends[i] > ends[i - 1], "ends");
  const int last = ends.empty() ? 0 : ends.back();
  require(info.Env(), last >= 0 && static_cast<std::size_t>(last) <= pages.size() * kPageTokens, "ends");
  runtime.enqueue(job, [index, arena, pages, ends](Context& context) {
    for (int layer = 0; layer < arena->shape.numLayers; ++layer) arena->awaitLoads(layer);
    // Ends ascend; jobs before this one may have moved the end of the index.
    if (!ends.empty() && ends.front() <= index->numTokens()) {
      throw Failure{"ends[0]", "more than " + std::to_string(index->numTokens()), std::to_string(ends.front())};
    }
    const int count = static_cast<int>(ends.size());
    auto* device = dynamic_cast<gpu::DeviceArena*>(arena.get());
    if (device == nullptr && arena->view() != nullptr) {
      index->extend(context, *arena->view(), pages.data(), ends.data(), count);
      return;
    }
    if (ends.empty()) return;
    if (device != nullptr) {
      gpu::extendOnDevice(context, *index, *device, pages, ends);
      return;
    }
    const std::int32_t tokens = ends.back();
    const std::int32_t pageStarts[] = {0, static_cast<std::int32_t>(pages.size())};
    const Batch sequence{1, nullptr, &tokens, pageStarts, pages.data()};
    LayerRows rows;
    const auto keysOf = [&](int layer) {
      rows = arena->layerRows(context, layer, sequence, index->codedTokens());
      return SegmentIndex::LayerKeys{rows.view, rows.batch.pages};
    };
    index->extend(context, keysOf, ends.data(), count);
  });
  return info.Env().Undefined();
}

Napi::Value segmentIndexState(const Napi::CallbackInfo& info) {
  const SegmentIndex& index = unwrap<SegmentIndex>(info[0]);
  Napi::Object state = Napi::Object::New(info.Env());
  state.Set("numSegments", index.numSegments());
  state.Set("numTokens", index.numTokens());
  state.Set("bytes", static_cast<double>(index.bytes()));
  return state;
}

Napi::Value truncateSegmentIndex(const Napi::CallbackInfo& info) {
  unwrap<SegmentIndex>(info[0]).truncate(integerOf(info[1], "numTokens"));
  return info.Env().Undefined();
}

Napi::Value cloneSegmentIndex(const Napi::CallbackInfo& info) {
  return wrap(info.Env(), std::shared_ptr<SegmentIndex>(unwrap<SegmentIndex>(info[0]).clone()));
}

Napi::Value readSegmentIndex(const Napi::CallbackInfo& info) {
  const SegmentIndex& index = unwrap<SegmentIndex>(info[0]);
  const int layer = integerOf(info[1], "layer");
  const int kvHead = integerOf(info[2], "kvHead");
  const SegmentIndexShape& shape = index.shape();
  require(info.Env(), layer >= 0 && layer < shape.numLayers && kvHead >= 0 && kvHead < shape.numKvHeads, "layer, kvHead");
  const std::size_t statValues = static_cast<std::size_t>(index.numSegments()) * shape.headDim;
  const std::size_t levelValues = static_cast<std::size_t>(index.numTokens()) * shape.headDim;
  Napi::Float32Array means = Napi::Float32Array::New(info.Env(), statValues);
  Napi::Float32Array deviations = Napi::Float32Array::New(info.Env(), statValues);
  Napi::Float32Array levels = Napi::Float32Array::New(info.Env(), levelValues);
  Napi::Float32Array radii = Napi::Float32Array::New(info.Env(), static_cast<std::size_t>(index.numSegments()));
  index.read(layer, kvHead, means.Data(), deviations.Data(), levels.Data(), radii.Data());
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("means", means);
  result.Set("deviations", deviations);
  result.Set("levels", levels);
  result.Set("radii", radii);
  return result;
}

Napi::Value createSegmentSelector(const Napi::CallbackInfo& info) {
  auto selector = std::make_shared<IndexedSelector>(sharedOf<SegmentIndex>(info[0]), segmentRuleOf(info, 1));
  if (!info[12].IsNull()) {
    const SegmentSelector* other = dynamic_cast<const SegmentSelector*>(&unwrap<Selector>(info[12]));
    require(info.Env(), other != nullptr, "continues");
    selector->continueFrom(*other);
  }
  return wrap<Selector>(info.Env(), std::move(selector));
}

Napi::Value createExactSelector(const Napi::CallbackInfo& info) {
  return wrap<Selector>(info.Env(), std::make_shared<ExactSelector>(ruleOf(info, 0)));
}

Napi::Value selectorCounts(const Napi::CallbackInfo& info) {
  const SelectCounts counts = unwrap<Selector>(info[0]).counts;
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("calls", counts.calls);
  result.Set("attendedTokens", counts.attended);
  result.Set("pooledTokens", counts.pooled);
  result.Set("certifiedHeads", counts.certified);
  result.Set("reusedCalls", counts.reused);
  result.Set("ms", counts.ms);
  return result;
}

}  // namespace kvasir::node
