#include <memory>
#include <vector>

#include "allocations.h"
#include "arguments.h"
#include "calls.h"

namespace kvasir::node {
namespace {

// An array that a job fills; the caller keeps it until the job has settled.
std::int32_t* outputOf(Napi::Value value, const char* name, std::size_t length) {
  const Slice<const std::int32_t> slice = indicesOf(value, name);
  require(value.Env(), slice.length == length, name);
  return const_cast<std::int32_t*>(slice.data);
}

}  // namespace

Napi::Value createHashPlanes(const Napi::CallbackInfo& info) {
  const Slice<float> planes = floatsOf(info[0], "planes"), offsets = floatsOf(info[3], "offsets");
  const int numHashes = integerOf(info[1], "numHashes"), dim = integerOf(info[2], "dim");
  require(info.Env(), numHashes >= 64 && numHashes % 64 == 0 && numHashes <= kMaxHashes && dim >= 1, "numHashes, dim");
  require(info.Env(), planes.length == static_cast<std::size_t>(numHashes) * dim, "planes");
  require(info.Env(), offsets.length == 0 || offsets.length == static_cast<std::size_t>(numHashes), "offsets");
  const float width = info[4].ToNumber().FloatValue();
  require(info.Env(), width > 0.0f, "width");
  return wrap(info.Env(),
              std::make_shared<PackedPlanes>(planes.data, numHashes, dim,
                                             std::vector<float>(offsets.data, offsets.data + offsets.length), width),
              static_cast<std::int64_t>(planes.length * sizeof(float)));
}

// The caller keeps x and out until the job has settled.
Napi::Value hashRows(const Napi::CallbackInfo& info) {
  Runtime& runtime = unwrap<Runtime>(info[0]);
  const std::uint32_t job = info[1].As<Napi::Number>().Uint32Value();
  const std::shared_ptr<PackedPlanes> planes = sharedOf<PackedPlanes>(info[2]);
  const HashKind kind = info[3].ToBoolean() ? HashKind::products : planes->codeKind();
  const Slice<float> x = floatsOf(info[4], "x");
  const auto out = bytesOf(info[5], "out");
  const std::size_t dim = static_cast<std::size_t>(planes->planes.dim), rows = x.length / dim;
  require(info.Env(), x.length == rows * dim && rows <= 0x7fffffff, "x");
  require(info.Env(), out.length == rows * rowBytesOf(kind, planes->planes.numHashes), "out");
  runtime.enqueue(job, [planes, kind, x, rows, bytes = out.data, hold = holderOf(x.data)](Context& context) {
    kvasir::hashRows(context, planes->planes, kind, x.data, static_cast<int>(rows), bytes);
  });
  return info.Env().Undefined();
}

Napi::Value createCodeTable(const Napi::CallbackInfo& info) {
  const int distance = integerOf(info[0], "distance"), codeBytes = integerOf(info[2], "codeBytes");
  const auto codes = bytesOf(info[1], "codes");
  require(info.Env(), distance == 0 || distance == 1, "distance");
  require(info.Env(), codeBytes >= 8 && codeBytes % 8 == 0 && codeBytes <= kMaxHashes, "codeBytes");
  const std::size_t rows = codes.length / static_cast<std::size_t>(codeBytes);
  require(info.Env(), codes.length == rows * static_cast<std::size_t>(codeBytes) && rows < 0x7ffffff0, "codes");
  return wrap(info.Env(),
              std::make_shared<PackedCodes>(static_cast<CodeDistance>(distance), codes.data, static_cast<int>(rows), codeBytes / 8),
              static_cast<std::int64_t>(codes.length));
}

// The caller keeps queries, indices and distances until the job has settled.
Napi::Value nearestCodes(const Napi::CallbackInfo& info) {
  Runtime& runtime = unwrap<Runtime>(info[0]);
  const std::uint32_t job = info[1].As<Napi::Number>().Uint32Value();
  const std::shared_ptr<PackedCodes> codes = sharedOf<PackedCodes>(info[2]);
  const auto queries = bytesOf(info[3], "queries");
  const int count = integerOf(info[4], "count"), maxDistance = integerOf(info[5], "maxDistance");
  const std::size_t codeBytes = static_cast<std::size_t>(codes->table.words) * 8, numQueries = queries.length / codeBytes;
  require(info.Env(), queries.length == numQueries * codeBytes && numQueries <= 0x7fffffff, "queries");
  require(info.Env(), count >= 1 && count <= kMaxNearest && maxDistance >= 0, "count, maxDistance");
  std::int32_t* indices = outputOf(info[6], "indices", numQueries * count);
  std::int32_t* distances = outputOf(info[7], "distances", numQueries * count);
  runtime.enqueue(job, [codes, queries, numQueries, count, maxDistance, indices, distances,
                        hold = holderOf(queries.data)](Context& context) {
    kvasir::nearestCodes(context, codes->table, queries.data, static_cast<int>(numQueries), count, maxDistance, indices, distances);
  });
  return info.Env().Undefined();
}

// The caller keeps queries, rows, indices and values until the job has settled.
Napi::Value rankRows(const Napi::CallbackInfo& info) {
  Runtime& runtime = unwrap<Runtime>(info[0]);
  const std::uint32_t job = info[1].As<Napi::Number>().Uint32Value();
  const int metric = integerOf(info[2], "metric"), dim = integerOf(info[3], "dim");
  const Slice<float> queries = floatsOf(info[4], "queries"), rows = floatsOf(info[5], "rows");
  const Slice<const std::int32_t> named = indicesOf(info[6], "candidates");
  const float threshold = info[7].ToNumber().FloatValue();
  require(info.Env(), (metric == 0 || metric == 1) && dim >= 1, "metric, dim");
  const std::size_t size = static_cast<std::size_t>(dim), numQueries = queries.length / size, numRows = rows.length / size;
  require(info.Env(), queries.length == numQueries * size && numQueries <= 0x7fffffff, "queries");
  const std::size_t count = numQueries == 0 ? 0 : named.length / numQueries;
  require(info.Env(), named.length == count * numQueries && count <= 0x7fffffff, "candidates");
  // A copy: nobody may change an index once it is checked.
  std::vector<std::int32_t> candidates(named.data, named.data + named.length);
  for (const std::int32_t index : candidates) require(info.Env(), index < 0 || static_cast<std::size_t>(index) < numRows, "candidates");
  std::int32_t* indices = outputOf(info[8], "indices", numQueries);
  const Slice<float> values = floatsOf(info[9], "values");
  require(info.Env(), values.length == numQueries, "values");
  runtime.enqueue(job, [metric, dim, queries, numQueries, rows, candidates = std::move(candidates), count, threshold, indices, values,
                        holdQueries = holderOf(queries.data), holdRows = holderOf(rows.data)](Context& context) {
    kvasir::rankRows(context, {static_cast<RowMetric>(metric), dim, queries.data, static_cast<int>(numQueries), rows.data,
                               candidates.data(), static_cast<int>(count), threshold}, indices, values.data);
  });
  return info.Env().Undefined();
}

}  // namespace kvasir::node
