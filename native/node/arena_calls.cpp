#include <memory>

#include "arguments.h"
#include "calls.h"

namespace kvasir::node {

Napi::Value createArena(const Napi::CallbackInfo& info) {
  const int layers = integerOf(info[0], "numLayers");
  const int kvHeads = integerOf(info[1], "numKvHeads");
  const int headDim = integerOf(info[2], "headDim");
  const int pages = integerOf(info[3], "capacityPages");
  const bool small = layers <= 4096 && kvHeads <= 4096 && headDim <= 4096;
  require(info.Env(), layers >= 1 && kvHeads >= 1 && headDim >= 1 && pages >= 1 && small, "arena sizes");
  return wrap(info.Env(), std::make_shared<Arena>(layers, kvHeads, headDim, pages, kvTypeOf(info[4])));
}

Napi::Value copyPage(const Napi::CallbackInfo& info) {
  Arena& arena = unwrap<Arena>(info[0]);
  const int from = integerOf(info[1], "from");
  const int to = integerOf(info[2], "to");
  const auto held = [&](int page) { return page >= 0 && page < arena.capacityPages; };
  require(info.Env(), held(from) && held(to), "from, to");
  arena.copyPage(from, to);
  return info.Env().Undefined();
}

Napi::Value readArenaRows(const Napi::CallbackInfo& info) {
  const Arena& arena = unwrap<Arena>(info[0]);
  const bool values = info[1].ToBoolean();
  const int layer = integerOf(info[2], "layer");
  const int kvHead = integerOf(info[3], "kvHead");
  const Slice<const std::int32_t> pages = indicesOf(info[4], "pages");
  const int start = integerOf(info[5], "start");
  const int end = integerOf(info[6], "end");
  require(info.Env(), layer >= 0 && layer < arena.numLayers && kvHead >= 0 && kvHead < arena.view.numKvHeads, "layer, kvHead");
  require(info.Env(), start >= 0 && start <= end, "start, end");
  require(info.Env(), static_cast<std::size_t>(end) <= pages.length * kPageTokens, "end");
  for (int page = start / kPageTokens; page * kPageTokens < end; ++page) {
    require(info.Env(), pages.data[page] >= 0 && pages.data[page] < arena.capacityPages, "pages");
  }
  const std::size_t rows = static_cast<std::size_t>(end - start);
  Napi::Float32Array out = Napi::Float32Array::New(info.Env(), rows * arena.view.headDim);
  readKv(arena.view, layer, kvHead, values, pages.data, start, end, out.Data());
  return out;
}

}  // namespace kvasir::node
