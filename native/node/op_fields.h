// The fields of one op object of JavaScript, with the limits that its buffers put on a program.
#pragma once

#include <cstdint>
#include <string>

#include "../runtime/program.h"
#include "arguments.h"

namespace kvasir::node {

class OpFields {
 public:
  OpFields(Napi::Object op, Program& program) : op_(op), program_(program) {}

  Napi::Value operator[](const char* name) const { return op_.Get(name); }
  int integer(const char* name) const { return integerOf(op_.Get(name), name); }
  float number(const char* name) const { return op_.Get(name).ToNumber().FloatValue(); }
  bool is(const char* name, const char* text) const { return textOf(op_.Get(name), name) == text; }
  bool has(const char* name) const { return !op_.Get(name).IsUndefined(); }
  Extent rows() const;

  // A buffer of `extent` rows of rowValues values.
  float* floats(const char* name, int rowValues, Extent extent) const;
  // The number of an index array of `extent` entries.
  int indices(const char* name, Extent extent) const;
  BatchSources batch() const;

  template <class T>
  T& handle(const char* name) const {
    return unwrap<T>(op_.Get(name));
  }

 private:
  int indicesOfBatch(Napi::Object batch, const char* name, int extra) const;

  Napi::Object op_;
  Program& program_;
};

}  // namespace kvasir::node
