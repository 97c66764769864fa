#include <memory>
#include <numeric>
#include <vector>
#include <string>

#include "../runtime/gpu/device_arena.h"
#include "arguments.h"
#include "calls.h"

namespace kvasir::node {

Napi::Value createArena(const Napi::CallbackInfo& info) {
  const Runtime& runtime = unwrap<Runtime>(info[0]);
  const int layers = integerOf(info[1], "numLayers");
  const int kvHeads = integerOf(info[2], "numKvHeads");
  const int headDim = integerOf(info[3], "headDim");
  const int pages = integerOf(info[4], "capacityPages");
  const bool small = layers <= 4096 && kvHeads <= 4096 && headDim <= 4096;
  require(info.Env(), layers >= 1 && kvHeads >= 1 && headDim >= 1 && pages >= 1 && small, "arena sizes");
  const ArenaShape shape{layers, kvHeads, headDim, pages, kvTypeOf(info[5])};
  if (runtime.gpu() != nullptr) {
    return wrap<Arena>(info.Env(), std::make_shared<gpu::DeviceArena>(runtime.gpu(), shape));
  }
  return wrap<Arena>(info.Env(), std::make_shared<PlainArena>(shape));
}

Napi::Value copyPage(const Napi::CallbackInfo& info) {
  Arena& arena = unwrap<Arena>(info[0]);
  const int from = integerOf(info[1], "from");
  const int to = integerOf(info[2], "to");
  const auto held = [&](int page) { return page >= 0 && page < arena.shape.capacityPages; };
  require(info.Env(), held(from) && held(to), "from, to");
  arena.copyPage(from, to);
  return info.Env().Undefined();
}

Napi::Value readArenaRows(const Napi::CallbackInfo& info) {
  Arena& arena = unwrap<Arena>(info[0]);
  const bool values = info[1].ToBoolean();
  const int layer = integerOf(info[2], "layer");
  const int kvHead = integerOf(info[3], "kvHead");
  const Slice<const std::int32_t> pages = indicesOf(info[4], "pages");
  const int start = integerOf(info[5], "start");
  const int end = integerOf(info[6], "end");
  require(info.Env(), layer >= 0 && layer < arena.shape.numLayers && kvHead >= 0 && kvHead < arena.shape.numKvHeads, "layer, kvHead");
  require(info.Env(), start >= 0 && start <= end, "start, end");
  require(info.Env(), static_cast<std::size_t>(end) <= pages.length * kPageTokens, "end");
  for (int page = start / kPageTokens; page * kPageTokens < end; ++page) {
    require(info.Env(), pages.data[page] >= 0 && pages.data[page] < arena.shape.capacityPages, "pages");
  }
  const std::size_t rows = static_cast<std::size_t>(end - start);
  Napi::Float32Array out = Napi::Float32Array::New(info.Env(), rows * arena.shape.headDim);
  arena.readRows(layer, kvHead, values, pages.data, start, end, out.Data());
  return out;
}

Napi::Value attentionWeights(const Napi::CallbackInfo& info) {
  const Isa isa = unwrap<Runtime>(info[0]).isa();
  Arena& arena = unwrap<Arena>(info[1]);
  const int layer = integerOf(info[2], "layer");
  const int kvHead = integerOf(info[3], "kvHead");
  const Slice<const std::int32_t> pages = indicesOf(info[4], "pages");
  const Slice<float> queries = floatsOf(info[5], "queries");
  const Slice<const std::int32_t> indices = indicesOf(info[6], "indices");
  const float scale = info[7].ToNumber().FloatValue();
  const std::size_t headDim = static_cast<std::size_t>(arena.shape.headDim);
  require(info.Env(), layer >= 0 && layer < arena.shape.numLayers && kvHead >= 0 && kvHead < arena.shape.numKvHeads, "layer, kvHead");
  require(info.Env(), queries.length >= headDim && queries.length % headDim == 0, "queries");
  const std::size_t group = queries.length / headDim;
  require(info.Env(), group <= 4096 && indices.length <= 1u << 30, "queries, indices");
  for (std::size_t i = 0; i < indices.length; ++i) {
    const auto index = static_cast<std::size_t>(indices.data[i]);
    const bool held = indices.data[i] >= 0 && index / kPageTokens < pages.length;
    const std::int32_t page = held ? pages.data[index / kPageTokens] : -1;
    if (page >= 0 && page < arena.shape.capacityPages) continue;
    throw Failure{"indices[" + std::to_string(i) + "]", "a row of the sequence's pages", std::to_string(indices.data[i])};
  }
  Napi::Float32Array out = Napi::Float32Array::New(info.Env(), group * indices.length);
  const int count = static_cast<int>(indices.length);
  if (const KvView* view = arena.view()) {
    kvasir::attentionWeights(isa, *view, layer, kvHead, pages.data, queries.data, static_cast<int>(group), indices.data,
                             count, scale, out.Data());
    return out;
  }
  // Their K rows alone, as pages of their own.
  std::vector<std::uint8_t> rows(indices.length * arena.shape.rowBytes());
  arena.gatherKeys(layer, kvHead, pages.data, indices.data, count, rows.data());
  std::vector<std::int32_t> order(indices.length);
  std::iota(order.begin(), order.end(), 0);
  const KvView view{rows.data(), arena.shape.partBytes(), 0, 0, 0, arena.shape.type, 1, arena.shape.headDim};
  kvasir::attentionWeights(isa, view, 0, 0, order.data(), queries.data, static_cast<int>(group), order.data(), count,
                           scale, out.Data());
  return out;
}

}  // namespace kvasir::node
