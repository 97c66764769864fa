#include "failure.h"

#include <utility>

namespace kvasir::gpu {
namespace {

std::string& text() {
  thread_local std::string kept;
  return kept;
}

}  // namespace

int fail(int status, std::string why) {
  text() = std::move(why);
  return status;
}

const char* lastFailure() { return text().c_str(); }

}  // namespace kvasir::gpu
