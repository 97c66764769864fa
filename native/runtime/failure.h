// What native checks throw: which parameter, what was expected, what came.
#pragma once

#include <string>

namespace kvasir {

struct Failure {
  enum class Kind { kernel, tier, backend };
  std::string parameter;
  std::string expected;
  std::string got;
  Kind kind = Kind::kernel;
};

}  // namespace kvasir
