#include <memory>

#include "../runtime/gpu/device_weight.h"
#include "allocations.h"
#include "arguments.h"
#include "calls.h"

namespace kvasir::node {

Napi::Value createWeight(const Napi::CallbackInfo& info) {
  const Runtime& runtime = unwrap<Runtime>(info[0]);
  const WeightType type = weightTypeOf(info[1]);
  const int rows = integerOf(info[2], "rows");
  const int cols = integerOf(info[3], "cols");
  const bool addressable = static_cast<double>(rows) * cols <= 1e12;
  require(info.Env(), rows >= 0 && cols >= 1 && addressable, "rows, cols");
  if (runtime.gpu() != nullptr) {
    return wrap<StoredWeight>(info.Env(), std::make_shared<gpu::DeviceWeight>(runtime.gpu(), type, rows, cols));
  }
  auto weight = std::make_shared<PackedWeight>(type, rows, cols, runtime.isa());
  const auto bytes = static_cast<std::int64_t>(weight->bytes());
  return wrap<StoredWeight>(info.Env(), std::move(weight), bytes);
}

Napi::Value weightBytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(unwrap<StoredWeight>(info[0]).bytes()));
}

// The caller keeps the weight and the source until the job has settled.
Napi::Value packWeightRows(const Napi::CallbackInfo& info) {
  Runtime& runtime = unwrap<Runtime>(info[0]);
  const std::uint32_t job = info[1].As<Napi::Number>().Uint32Value();
  const std::shared_ptr<StoredWeight> packed = sharedOf<StoredWeight>(info[2]);
  const int first = integerOf(info[3], "first");
  const int count = integerOf(info[4], "count");
  const Slice<std::uint8_t> source = bytesOf(info[5], "rows");
  require(info.Env(), first >= 0 && first % 64 == 0 && count >= 1, "first, count");
  require(info.Env(), count <= packed->weight.rows - first && source.length % count == 0, "count, rows");
  runtime.enqueue(job, [packed, first, count, source, hold = holderOf(source.data)](Context& context) {
    packed->pack(context, first, count, source.data, source.length / count);
  });
  return info.Env().Undefined();
}

Napi::Value readWeightRow(const Napi::CallbackInfo& info) {
  const StoredWeight& packed = unwrap<StoredWeight>(info[0]);
  const int row = integerOf(info[1], "row");
  require(info.Env(), row >= 0 && row < packed.weight.rows, "row");
  Napi::Float32Array values = Napi::Float32Array::New(info.Env(), packed.weight.cols);
  packed.readRow(row, values.Data());
  return values;
}

}  // namespace kvasir::node
