// Run lists, and the rows that they may name.
#include <algorithm>
#include <memory>
#include <vector>

#include "arguments.h"
#include "calls.h"

namespace kvasir::node {
namespace {

std::vector<KvRun> runsOf(const Slice<const std::int32_t>& triples) {
  std::vector<KvRun> runs(triples.length / 3);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    runs[i] = {triples.data[3 * i], triples.data[3 * i + 1], triples.data[3 * i + 2]};
  }
  return runs;
}

}  // namespace

Napi::Value createRunLists(const Napi::CallbackInfo& info) {
  const int maxSequences = integerOf(info[0], "maxSequences");
  const int numKvHeads = integerOf(info[1], "numKvHeads");
  const int numHeads = integerOf(info[2], "numHeads");
  require(info.Env(), maxSequences >= 1 && numKvHeads >= 1 && numHeads >= numKvHeads, "sizes of run lists");
  require(info.Env(), numHeads % numKvHeads == 0, "numHeads");
  return wrap(info.Env(), std::make_shared<RunLists>(maxSequences, numKvHeads, numHeads));
}

Napi::Value setRunList(const Napi::CallbackInfo& info) {
  RunLists& lists = unwrap<RunLists>(info[0]);
  const int sequence = integerOf(info[1], "sequence");
  const Slice<const std::int32_t> rowStarts = indicesOf(info[2], "rowStarts");
  const Slice<const std::int32_t> runs = indicesOf(info[3], "runs");
  require(info.Env(), sequence >= 0 && sequence < lists.maxSequences(), "sequence");
  const std::size_t numRows = rowStarts.length - 1;
  const auto is = [&](int rows) { return rowStarts.length > 0 && numRows == static_cast<std::size_t>(rows); };
  require(info.Env(), is(lists.numKvHeads()) || is(lists.numHeads()), "rowStarts");
  require(info.Env(), runs.length == 3 * static_cast<std::size_t>(rowStarts.data[numRows]), "runs");
  ChosenRuns& list = lists.rewrite(sequence);
  list.rowStarts.assign(rowStarts.data, rowStarts.data + rowStarts.length);
  list.runs = runsOf(runs);
  return info.Env().Undefined();
}

Napi::Value getRunList(const Napi::CallbackInfo& info) {
  RunLists& lists = unwrap<RunLists>(info[0]);
  const int sequence = integerOf(info[1], "sequence");
  require(info.Env(), sequence >= 0 && sequence < lists.maxSequences(), "sequence");
  lists.bringHome();
  const ChosenRuns& list = lists.at(sequence);
  Napi::Int32Array rowStarts = Napi::Int32Array::New(info.Env(), list.rowStarts.size());
  std::copy(list.rowStarts.begin(), list.rowStarts.end(), rowStarts.Data());
  Napi::Int32Array runs = Napi::Int32Array::New(info.Env(), 3 * list.runs.size());
  std::int32_t* at = runs.Data();
  for (const KvRun& run : list.runs) {
    *at++ = run.page;
    *at++ = run.first;
    *at++ = run.len;
  }
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("rowStarts", rowStarts);
  result.Set("runs", runs);
  return result;
}

Napi::Value createKeptRows(const Napi::CallbackInfo& info) {
  const int numLayers = integerOf(info[0], "numLayers");
  const int numKvHeads = integerOf(info[1], "numKvHeads");
  const bool small = numLayers <= 4096 && numKvHeads <= 4096;
  require(info.Env(), numLayers >= 1 && numKvHeads >= 1 && small, "sizes of kept rows");
  return wrap(info.Env(), std::make_shared<KeptRows>(numLayers, numKvHeads));
}

Napi::Value setKeptRows(const Napi::CallbackInfo& info) {
  KeptRows& kept = unwrap<KeptRows>(info[0]);
  const int layer = integerOf(info[1], "layer");
  const Slice<const std::int32_t> rowStarts = indicesOf(info[2], "rowStarts");
  const Slice<const std::int32_t> triples = indicesOf(info[3], "runs");
  const int endTokens = integerOf(info[4], "endTokens");
  require(info.Env(), layer >= 0 && layer < kept.numLayers() && endTokens >= 0, "layer, endTokens");
  const std::size_t numRows = static_cast<std::size_t>(kept.numKvHeads());
  require(info.Env(), rowStarts.length == numRows + 1, "rowStarts");
  require(info.Env(), triples.length == 3 * static_cast<std::size_t>(rowStarts.data[numRows]), "runs");
  const std::vector<KvRun> runs = runsOf(triples);
  kept.set(layer, {rowStarts.data, runs.data()}, endTokens);
  return info.Env().Undefined();
}

Napi::Value heldTokens(const Napi::CallbackInfo& info) {
  const KeptRows& kept = unwrap<KeptRows>(info[0]);
  const int layer = integerOf(info[1], "layer");
  require(info.Env(), layer >= 0 && layer < kept.numLayers(), "layer");
  return Napi::Number::New(info.Env(), static_cast<double>(kept.heldTokens(layer)));
}

Napi::Value truncateKeptRows(const Napi::CallbackInfo& info) {
  const int numTokens = integerOf(info[1], "numTokens");
  require(info.Env(), numTokens >= 0, "numTokens");
  unwrap<KeptRows>(info[0]).truncate(numTokens);
  return info.Env().Undefined();
}

Napi::Value cloneKeptRows(const Napi::CallbackInfo& info) {
  return wrap(info.Env(), std::make_shared<KeptRows>(unwrap<KeptRows>(info[0])));
}

}  // namespace kvasir::node
