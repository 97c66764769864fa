#include "library.h"

#include <map>
#include <mutex>

#include "../failure.h"

#if defined(__unix__) || defined(__APPLE__)
#include <dlfcn.h>
#endif

namespace kvasir::gpu {
namespace {

#if defined(__unix__) || defined(__APPLE__)

std::string lastLoaderError() {
  const char* text = dlerror();
  return text != nullptr ? text : "unknown";
}

LibraryState load(const std::string& path) {
  LibraryState state;
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    state.missing = "the library does not load (" + lastLoaderError() + ")";
    return state;
  }
  const auto table = reinterpret_cast<KvasirGpuV1Function>(dlsym(library, "kvasir_gpu_v1"));
  const KvasirGpuV1* found = table != nullptr ? table(KVASIR_GPU_VERSION) : nullptr;
  if (found == nullptr || found->size != sizeof(KvasirGpuV1) || found->version != KVASIR_GPU_VERSION ||
      found->layout != kvasirGpuLayout()) {
    state.missing = path + " is of another version than this addon";
    return state;
  }
  const bool needsDriver = std::string(found->kind) == "cuda";
  if (needsDriver && dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL) == nullptr) {
    state.missing = "there is no NVIDIA driver (" + lastLoaderError() + ")";
    return state;
  }
  std::int32_t count = 0;
  if (found->deviceCount(&count) != KVASIR_GPU_OK || count == 0) {
    state.missing = std::string("the driver has no device (") + found->lastError() + ")";
    return state;
  }
  state.devices.resize(static_cast<std::size_t>(count));
  for (std::int32_t i = 0; i < count; ++i) {
    if (found->deviceInfo(i, &state.devices[static_cast<std::size_t>(i)]) == KVASIR_GPU_OK) continue;
    state.missing = std::string("device ") + std::to_string(i) + " does not answer (" + found->lastError() + ")";
    return state;
  }
  state.table = found;
  return state;
}

#else

LibraryState load(const std::string&) {
  LibraryState state;
  state.missing = "there is no GPU backend for this operating system";
  return state;
}

#endif

}  // namespace

LibraryState openLibrary(const std::string& path) {
  static std::mutex mutex;
  // Never destroyed: environments of other threads may outlive static objects.
  static auto* const known = new std::map<std::string, LibraryState>;
  std::lock_guard<std::mutex> lock(mutex);
  LibraryState& state = (*known)[path];
  if (state.table == nullptr) state = load(path);
  return state;
}

void check(const KvasirGpuV1& table, int status, const char* call) {
  if (status == KVASIR_GPU_OK) return;
  const std::string text = table.lastError();
  switch (status) {
    case KVASIR_GPU_NO_MEMORY: throw Failure{"memory", "enough on the GPU", text};
    case KVASIR_GPU_ABSENT: throw Failure{"backend", "a GPU", text, Failure::Kind::backend};
    case KVASIR_GPU_INVALID:
    case KVASIR_GPU_UNSUPPORTED: throw Failure{call, "what the GPU backend takes", text};
    default: throw Failure{call, "a GPU without faults", text, Failure::Kind::backend};
  }
}

}  // namespace kvasir::gpu
