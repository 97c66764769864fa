#include "handles.h"

namespace kvasir::node {
namespace {

constexpr napi_type_tag handleTag = {0x8d3c1f0a5be94276ULL, 0xa1c7e2946f0b83d5ULL};

void empty(napi_env env, Held& held) {
  held.object.reset();
  std::int64_t now;
  if (held.bytes > 0) napi_adjust_external_memory(env, -held.bytes, &now);
  held.bytes = 0;
}

void finalize(napi_env env, void* data, void*) {
  Held* held = static_cast<Held*>(data);
  empty(env, *held);
  delete held;
}

}  // namespace

Napi::Object wrapHeld(Napi::Env env, std::unique_ptr<Held> held) {
  Napi::Object object = Napi::Object::New(env);
  if (napi_wrap(env, object, held.get(), finalize, nullptr, nullptr) != napi_ok) throw Napi::Error::New(env);
  Held* kept = held.release();
  if (napi_type_tag_object(env, object, &handleTag) != napi_ok) throw Napi::Error::New(env);
  std::int64_t now;
  if (kept->bytes > 0) napi_adjust_external_memory(env, kept->bytes, &now);
  return object;
}

Held& heldOf(Napi::Value value) {
  bool tagged = false;
  if (value.IsObject()) napi_check_object_type_tag(value.Env(), value, &handleTag, &tagged);
  void* data = nullptr;
  if (tagged) napi_unwrap(value.Env(), value, &data);
  Held* held = static_cast<Held*>(data);
  if (held == nullptr || held->object == nullptr) throw Napi::TypeError::New(value.Env(), "expected a living handle");
  return *held;
}

void throwWrongKind(Napi::Env env) { throw Napi::TypeError::New(env, "expected a handle of another kind"); }

void release(Napi::Value value) { empty(value.Env(), heldOf(value)); }

}  // namespace kvasir::node
