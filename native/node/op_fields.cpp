#include "op_fields.h"

#include "allocations.h"

namespace kvasir::node {

Extent OpFields::rows() const {
  const Napi::Value value = op_.Get("rows");
  if (value.IsNumber()) return {Extent::fixed, integerOf(value, "rows")};
  const std::string name = textOf(value, "rows");
  if (name == "tokens") return {Extent::tokens};
  if (name == "outputs") return {Extent::outputs};
  if (name == "sequences") return {Extent::sequences};
  throw Napi::TypeError::New(op_.Env(), "rows: expected a number, tokens, outputs or sequences");
}

float* OpFields::floats(const char* name, int rowValues, Extent extent) const {
  const Slice<float> slice = floatsOf(op_.Get(name), name);
  require(op_.Env(), rowValues >= 1, name);
  program_.limit(extent, slice.length / rowValues);
  program_.keep(holderOf(slice.data));
  program_.buffer(slice.data, slice.length);
  return slice.data;
}

int OpFields::indices(const char* name, Extent extent) const {
  const Slice<const std::int32_t> slice = indicesOf(op_.Get(name), name);
  program_.limit(extent, slice.length);
  return program_.addIndices(slice.data, slice.length, extent);
}

BatchSources OpFields::batch() const {
  const Napi::Value value = op_.Get("batch");
  if (!value.IsObject()) throw Napi::TypeError::New(op_.Env(), "batch: expected an object");
  const Napi::Object batch = value.As<Napi::Object>();
  BatchSources sources;
  sources.rowStarts = indicesOfBatch(batch, "rowStarts", 1);
  sources.contextTokens = indicesOfBatch(batch, "contextTokens", 0);
  sources.pageStarts = indicesOfBatch(batch, "pageStarts", 1);
  const Slice<const std::int32_t> pages = indicesOf(batch.Get("pages"), "pages");
  sources.pages = program_.addPages(pages.data, pages.length, sources.pageStarts);
  return sources;
}

int OpFields::indicesOfBatch(Napi::Object batch, const char* name, int extra) const {
  const Slice<const std::int32_t> slice = indicesOf(batch.Get(name), name);
  require(op_.Env(), slice.length >= static_cast<std::size_t>(extra), name);
  program_.limit({Extent::sequences}, slice.length - extra);
  return program_.addIndices(slice.data, slice.length, {Extent::sequences}, extra);
}

}  // namespace kvasir::node
