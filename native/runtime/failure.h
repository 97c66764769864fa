// What native checks throw: which parameter, what was expected, what came.
#pragma once

#include <string>

namespace kvasir {

struct Failure {
  std::string parameter;
  std::string expected;
  std::string got;
};

}  // namespace kvasir
