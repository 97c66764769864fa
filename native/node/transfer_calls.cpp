#include <memory>
#include <vector>

#include "../runtime/transfer.h"
#include "allocations.h"
#include "arguments.h"
#include "calls.h"

namespace kvasir::node {
namespace {

std::vector<std::int32_t> copyOf(Napi::Value value, const char* name) {
  const Slice<const std::int32_t> slice = indicesOf(value, name);
  return {slice.data, slice.data + slice.length};
}

void requireEach(Napi::Env env, const std::vector<std::int32_t>& values, double low, double end, const char* what) {
  for (const std::int32_t value : values) require(env, value >= low && value < end, what);
}

// Bytes of `tokens` rows of a layer of an arena.
double layerBytes(const ArenaShape& shape, int tokens) {
  return 2.0 * shape.numKvHeads * static_cast<double>(shape.rowBytes()) * tokens;
}

struct Turns {
  KeyTurns turns{};
  std::vector<std::int32_t> rowTurns;
  std::shared_ptr<void> cosMemory, sinMemory;
};

Turns turnsOf(const Napi::Object& from, const ArenaShape& shape, std::size_t rows) {
  const Napi::Env env = from.Env();
  Turns read;
  const Slice<float> cos = floatsOf(from.Get("cos"), "cos"), sin = floatsOf(from.Get("sin"), "sin");
  const int rotaryDim = integerOf(from.Get("rotaryDim"), "rotaryDim");
  require(env, rotaryDim >= 2 && rotaryDim % 2 == 0 && rotaryDim <= shape.headDim, "rotaryDim");
  const std::size_t pairs = static_cast<std::size_t>(rotaryDim / 2);
  require(env, cos.length == sin.length && cos.length % pairs == 0, "cos, sin");
  read.rowTurns = copyOf(from.Get("rowTurns"), "rowTurns");
  require(env, read.rowTurns.size() == rows, "rowTurns");
  requireEach(env, read.rowTurns, -1, static_cast<double>(cos.length / pairs), "rowTurns");
  const bool half = textOf(from.Get("pairing"), "pairing") == "half";
  read.turns = {cos.data, sin.data, half ? RopePairing::half : RopePairing::interleaved, rotaryDim, nullptr};
  read.cosMemory = holderOf(cos.data);
  read.sinMemory = holderOf(sin.data);
  return read;
}

}  // namespace

// The caller keeps source, cos and sin until the job has settled.
Napi::Value adoptRows(const Napi::CallbackInfo& info) {
  Runtime& runtime = unwrap<Runtime>(info[0]);
  const std::uint32_t job = info[1].As<Napi::Number>().Uint32Value();
  const std::shared_ptr<Arena> arena = sharedOf<Arena>(info[2]);
  const ArenaShape& shape = arena->shape;
  const int layer = integerOf(info[3], "layer");
  const Slice<std::uint8_t> source = bytesOf(info[4], "source");
  const int sourceTokens = integerOf(info[5], "sourceTokens");
  std::vector<std::int32_t> rowsOf = copyOf(info[6], "sourceRows"), slots = copyOf(info[7], "slots");
  require(info.Env(), layer >= 0 && layer < shape.numLayers, "layer");
  require(info.Env(), sourceTokens >= 0 && static_cast<double>(source.length) == layerBytes(shape, sourceTokens), "source");
  require(info.Env(), rowsOf.size() == slots.size(), "sourceRows, slots");
  requireEach(info.Env(), rowsOf, 0, sourceTokens, "sourceRows");
  requireEach(info.Env(), slots, 0, static_cast<double>(shape.capacityPages) * kPageTokens, "slots");
  std::shared_ptr<Turns> turns;
  if (info[8].IsObject()) turns = std::make_shared<Turns>(turnsOf(info[8].As<Napi::Object>(), shape, slots.size()));
  const auto adopt = [arena, layer, source, sourceTokens, rowsOf = std::move(rowsOf), slots = std::move(slots), turns,
                      hold = holderOf(source.data)](Context& context) {
    KeyTurns keyTurns{};
    if (turns != nullptr) {
      keyTurns = turns->turns;
      keyTurns.rowTurns = turns->rowTurns.data();
    }
    arena->adopt(context, layer, source.data, sourceTokens, rowsOf.data(), slots.data(), static_cast<int>(slots.size()),
                 turns != nullptr ? &keyTurns : nullptr);
  };
  if (arena->loadsBeside()) runtime.enqueueBeside(job, [arena, layer] { arena->announceLoad(layer); }, adopt);
  else runtime.enqueue(job, adopt);
  return info.Env().Undefined();
}

// The caller keeps out until the job has settled.
Napi::Value exportRows(const Napi::CallbackInfo& info) {
  Runtime& runtime = unwrap<Runtime>(info[0]);
  const std::uint32_t job = info[1].As<Napi::Number>().Uint32Value();
  const std::shared_ptr<Arena> arena = sharedOf<Arena>(info[2]);
  const int layer = integerOf(info[3], "layer");
  std::vector<std::int32_t> pages = copyOf(info[4], "pages");
  const int numTokens = integerOf(info[5], "numTokens");
  const Slice<std::uint8_t> out = bytesOf(info[6], "out");
  require(info.Env(), layer >= 0 && layer < arena->shape.numLayers, "layer");
  require(info.Env(), numTokens >= 0 && static_cast<double>(numTokens) <= static_cast<double>(pages.size()) * kPageTokens, "pages");
  require(info.Env(), static_cast<double>(out.length) == layerBytes(arena->shape, numTokens), "out");
  requireEach(info.Env(), pages, 0, arena->shape.capacityPages, "pages");
  runtime.enqueue(job, [arena, layer, pages = std::move(pages), numTokens, out, hold = holderOf(out.data)](Context& context) {
    arena->exportTo(context, layer, pages.data(), numTokens, out.data);
  });
  return info.Env().Undefined();
}

}  // namespace kvasir::node
