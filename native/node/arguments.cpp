#include "arguments.h"

#include "../runtime/machine.h"

namespace kvasir::node {
namespace {

[[noreturn]] void wrongType(Napi::Value value, const char* name, const char* expected) {
  throw Napi::TypeError::New(value.Env(), std::string(name) + ": expected " + expected);
}

template <class T>
Slice<T> arrayOf(Napi::Value value, const char* name, napi_typedarray_type wanted, const char* expected) {
  napi_typedarray_type type;
  std::size_t length;
  void* data;
  const bool isArray = value.IsTypedArray();
  if (!isArray || napi_get_typedarray_info(value.Env(), value, &type, &length, &data, nullptr, nullptr) != napi_ok ||
      type != wanted) {
    wrongType(value, name, expected);
  }
  return {static_cast<T*>(data), length};
}

struct TypeName {
  const char* name;
  WeightType type;
};

constexpr TypeName weightTypes[] = {
    {"F32", WeightType::f32},   {"F16", WeightType::f16},   {"BF16", WeightType::bf16}, {"Q8_0", WeightType::q8_0},
    {"Q4_0", WeightType::q4_0}, {"Q4_1", WeightType::q4_1}, {"Q5_0", WeightType::q5_0}, {"Q5_1", WeightType::q5_1},
    {"Q2_K", WeightType::q2_k}, {"Q3_K", WeightType::q3_k}, {"Q4_K", WeightType::q4_k}, {"Q5_K", WeightType::q5_k},
    {"Q6_K", WeightType::q6_k}, {"IQ4_NL", WeightType::iq4_nl},
};

}  // namespace

int integerOf(Napi::Value value, const char* name) {
  if (!value.IsNumber()) wrongType(value, name, "an integer");
  const double number = value.As<Napi::Number>().DoubleValue();
  const int integer = number >= -2147483648.0 && number <= 2147483647.0 ? static_cast<int>(number) : 0;
  if (integer != number) wrongType(value, name, "an integer");
  return integer;
}

std::string textOf(Napi::Value value, const char* name) {
  if (!value.IsString()) wrongType(value, name, "a string");
  return value.As<Napi::String>().Utf8Value();
}

Slice<float> floatsOf(Napi::Value value, const char* name) {
  return arrayOf<float>(value, name, napi_float32_array, "a Float32Array");
}

Slice<const std::int32_t> indicesOf(Napi::Value value, const char* name) {
  return arrayOf<const std::int32_t>(value, name, napi_int32_array, "an Int32Array");
}

Slice<std::uint8_t> bytesOf(Napi::Value value, const char* name) {
  return arrayOf<std::uint8_t>(value, name, napi_uint8_array, "a Uint8Array");
}

Isa isaOf(Napi::Value value) {
  const std::string name = textOf(value, "isa");
  for (const Isa isa : runnableIsas()) {
    if (name == nameOf(isa)) return isa;
  }
  wrongType(value, "isa", "an instruction set of this machine");
}

WeightType weightTypeOf(Napi::Value value) {
  const std::string name = textOf(value, "type");
  for (const TypeName& entry : weightTypes) {
    if (name == entry.name) return entry.type;
  }
  wrongType(value, "type", "a weight format");
}

KvType kvTypeOf(Napi::Value value) {
  const std::string name = textOf(value, "type");
  if (name != "f16" && name != "f32") wrongType(value, "type", "f16 or f32");
  return name == "f16" ? KvType::f16 : KvType::f32;
}

void require(Napi::Env env, bool holds, const char* what) {
  if (!holds) throw Napi::RangeError::New(env, what);
}

}  // namespace kvasir::node
