#include <cstdint>
#include <memory>

#include "../runtime/gpu/library.h"
#include "../runtime/machine.h"
#include "allocations.h"
#include "arguments.h"
#include "calls.h"

namespace kvasir::node {

Napi::Value machine(const Napi::CallbackInfo& info) {
  Napi::Array isas = Napi::Array::New(info.Env());
  for (const Isa isa : runnableIsas()) isas.Set(isas.Length(), nameOf(isa));
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("isas", isas);
  result.Set("physicalCores", physicalCores());
  return result;
}

Napi::Value gpuState(const Napi::CallbackInfo& info) {
  const gpu::LibraryState state = gpu::openLibrary(textOf(info[0], "library"));
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("missing", state.missing);
  result.Set("kind", state.table != nullptr ? state.table->kind : "");
  Napi::Array devices = Napi::Array::New(info.Env());
  for (const KvasirDeviceInfo& device : state.devices) {
    Napi::Object described = Napi::Object::New(info.Env());
    described.Set("name", device.name);
    described.Set("capability", device.major * 10 + device.minor);
    devices.Set(devices.Length(), described);
  }
  result.Set("devices", devices);
  return result;
}

Napi::Value useErrors(const Napi::CallbackInfo& info) {
  setErrorMaker(info.Env(), info[0].As<Napi::Function>());
  return info.Env().Undefined();
}

Napi::Value openRuntime(const Napi::CallbackInfo& info) {
  const Isa isa = isaOf(info[0]);
  const int workers = integerOf(info[1], "numThreads");
  require(info.Env(), workers >= 1 && workers <= Pool::maxWorkers, "numThreads");
  const std::string library = textOf(info[2], "gpuLibrary");
  if (!info[3].IsFunction()) throw Napi::TypeError::New(info.Env(), "settle: expected a function");
  gpu::SessionPtr gpu = library.empty() ? nullptr : std::make_shared<gpu::Session>(library);
  return wrap(info.Env(), Runtime::open(info.Env(), isa, workers, std::move(gpu), info[3].As<Napi::Function>()));
}

Napi::Value gpuCounts(const Napi::CallbackInfo& info) {
  const gpu::SessionPtr& session = unwrap<Runtime>(info[0]).gpu();
  if (session == nullptr) return info.Env().Null();
  Napi::Object counts = Napi::Object::New(info.Env());
  counts.Set("runs", static_cast<double>(session->counts.runs));
  const auto [refused, why] = session->counts.graphs.refused();
  counts.Set("graphs", static_cast<double>(session->counts.graphs.replays));
  counts.Set("refusedGraphs", static_cast<double>(refused));
  counts.Set("refusal", why);
  return counts;
}

Napi::Value closeRuntime(const Napi::CallbackInfo& info) {
  unwrap<Runtime>(info[0]).close();
  return info.Env().Undefined();
}

Napi::Value cancelJob(const Napi::CallbackInfo& info) {
  const std::uint32_t job = info[1].As<Napi::Number>().Uint32Value();
  return Napi::Boolean::New(info.Env(), unwrap<Runtime>(info[0]).cancel(job));
}

Napi::Value releaseHandle(const Napi::CallbackInfo& info) {
  release(info[0]);
  return info.Env().Undefined();
}

Napi::Value allocate(const Napi::CallbackInfo& info) {
  const double bytes = info[0].As<Napi::Number>().DoubleValue();
  require(info.Env(), bytes >= 0 && bytes <= 9007199254740991.0, "bytes");
  if (bytes == 0) return Napi::ArrayBuffer::New(info.Env(), 0);
  using Hold = std::shared_ptr<Memory>;
  auto hold = std::make_unique<Hold>(allocateShared(static_cast<std::size_t>(bytes)));
  Memory& memory = **hold;
  napi_value buffer;
  const auto free = [](napi_env, void*, void* hint) { delete static_cast<Hold*>(hint); };
  const napi_status status =
      napi_create_external_arraybuffer(info.Env(), memory.data(), memory.bytes(), free, hold.get(), &buffer);
  // Engines that forbid foreign memory get an ordinary buffer.
  if (status == napi_no_external_buffers_allowed) {
    return Napi::ArrayBuffer::New(info.Env(), static_cast<std::size_t>(bytes));
  }
  if (status != napi_ok) throw Napi::Error::New(info.Env());
  hold.release();
  return Napi::Value(info.Env(), buffer);
}

}  // namespace kvasir::node
