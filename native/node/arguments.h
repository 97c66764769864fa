// Reading JavaScript values; a wrong one throws a TypeError that names it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "handles.h"
#include "kvasir/linear.h"
#include "napi_setup.h"

namespace kvasir::node {

template <class T>
struct Slice {
  T* data;
  std::size_t length;
};

int integerOf(Napi::Value value, const char* name);
std::string textOf(Napi::Value value, const char* name);
Slice<float> floatsOf(Napi::Value value, const char* name);
Slice<const std::int32_t> indicesOf(Napi::Value value, const char* name);
Slice<std::uint8_t> bytesOf(Napi::Value value, const char* name);

Isa isaOf(Napi::Value value);
WeightType weightTypeOf(Napi::Value value);
KvType kvTypeOf(Napi::Value value);

// Throws a RangeError that names what is out of range.
void require(Napi::Env env, bool holds, const char* what);

}  // namespace kvasir::node
