#include "cublas.h"

#include <dlfcn.h>

#include <chrono>
#include <cstdlib>
#include <string>

#include "measure.h"
#include "roofs.h"

namespace kvasir::gpu::bench {

namespace {

// Prototypes as the manual gives them; enumerations by their numbers.
using Create = int (*)(void** handle);
using Destroy = int (*)(void* handle);
using Gemm = int (*)(void* handle, int opA, int opB, int m, int n, int k, const void* alpha, const void* a, int aType, int lda,
                     const void* b, int bType, int ldb, const void* beta, void* c, int cType, int ldc, int compute, int algorithm);
using GetVector = int (*)(int count, int elementBytes, const void* from, int stride, void* to, int toStride);
constexpr int kNo = 0, kTransposed = 1, kF16 = 2, kSumsF32 = 68, kDefault = -1;

void* openCublas() {
  if (const char* named = std::getenv("KVASIR_CUBLAS")) return dlopen(named, RTLD_NOW | RTLD_LOCAL);
  for (const char* name : {"libcublas.so.13", "libcublas.so.12", "libcublas.so"}) {
    if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
  }
  return nullptr;
}

template <class Function>
Function find(void* library, const char* name) {
  return reinterpret_cast<Function>(dlsym(library, name));
}

}  // namespace

double cublasFlopASecond(const Gpu& gpu, int size, std::string& why) {
  if (gpu.emulated()) return why = "emulated", 0;
  void* library = openCublas();
  if (library == nullptr) return why = "not there", 0;
  const auto create = find<Create>(library, "cublasCreate_v2");
  const auto destroy = find<Destroy>(library, "cublasDestroy_v2");
  const auto gemm = find<Gemm>(library, "cublasGemmEx");
  const auto getVector = find<GetVector>(library, "cublasGetVector");
  if (!create || !destroy || !gemm || !getVector) return why = "a function is missing", 0;

  const std::size_t bytes = static_cast<std::size_t>(size) * static_cast<std::size_t>(size) * 2;
  const Memory operands = Memory::onDevice(gpu, 3 * bytes);
  fillRandom(gpu, operands);
  void* handle = nullptr;
  if (create(&handle) != 0) return why = "cublasCreate failed", 0;
  const float one = 1, zero = 0;
  const int calls = 10;
  int failed = 0;
  std::vector<double> rates;
  for (int slice = 0; slice < 6; ++slice) {
    const auto start = std::chrono::steady_clock::now();
    for (int call = 0; call < calls; ++call) {
      failed |= gemm(handle, kTransposed, kNo, size, size, size, &one, operands.device(), kF16, size, operands.device(bytes), kF16,
                     size, &zero, operands.device(2 * bytes), kF16, size, kSumsF32, kDefault);
    }
    std::uint16_t last;
    failed |= getVector(1, 2, operands.device(2 * bytes), 1, &last, 1);  // waits
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (slice > 0) rates.push_back(calls * 2.0 * size * size * size / seconds);
  }
  destroy(handle);
  if (failed != 0) return why = "a call failed", 0;
  return spreadOf(rates).median;
}

}  // namespace kvasir::gpu::bench
