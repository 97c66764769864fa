#include "trace.h"

#include <cstdio>
#include <cstdlib>

namespace kvasir::gpu::emulated {
namespace {

std::FILE* file = nullptr;

}  // namespace

void openTrace() {
  if (file != nullptr) std::fclose(file);
  const char* path = std::getenv("KVASIR_GPU_TRACE");
  file = path != nullptr ? std::fopen(path, "w") : nullptr;
}

bool tracing() { return file != nullptr; }

void trace(const std::string& line) {
  if (file == nullptr) return;
  std::fprintf(file, "%s\n", line.c_str());
  std::fflush(file);
}

int nextNumber() {
  static int number = 0;
  return number++;
}

}  // namespace kvasir::gpu::emulated
