#include "gpu.h"

#include <dlfcn.h>

#include <cstring>
#include <utility>

namespace kvasir::gpu::bench {

namespace {

// Never closed: the library holds the driver.
const KvasirGpuV1* openTable(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw GpuError(KVASIR_GPU_FAILED, dlerror());
  const auto entry = reinterpret_cast<KvasirGpuV1Function>(dlsym(library, "kvasir_gpu_v1"));
  const KvasirGpuV1* table = entry == nullptr ? nullptr : entry(KVASIR_GPU_VERSION);
  if (table == nullptr || table->size != sizeof(KvasirGpuV1) || table->layout != kvasirGpuLayout()) {
    throw GpuError(KVASIR_GPU_UNSUPPORTED, path + " has another table than this program. Remedy: build both from the same sources");
  }
  return table;
}

}  // namespace

Gpu::Gpu(const std::string& libraryPath) : table_(openTable(libraryPath)) {
  int32_t count = 0;
  check(table_->deviceCount(&count), "deviceCount");
  check(table_->deviceInfo(0, &info_), "deviceInfo");
  check(table_->openDevice(0, &device_), "openDevice");
  check(table_->createStream(device_, 0, &stream_), "createStream");
}

Gpu::~Gpu() {
  if (stream_ != nullptr) table_->destroyStream(stream_);
  if (device_ != nullptr) table_->closeDevice(device_);
}

bool Gpu::emulated() const { return std::strcmp(table_->kind, "emulated") == 0; }

void Gpu::check(int status, const char* what) const {
  if (status != KVASIR_GPU_OK) throw GpuError(status, std::string(what) + ": " + table_->lastError());
}

std::size_t Gpu::freeBytes() const {
  std::uint64_t bytes = 0;
  check(table_->freeMemory(device_, &bytes), "freeMemory");
  return bytes;
}

Memory Memory::onDevice(const Gpu& gpu, std::size_t bytes) {
  Memory memory;
  gpu.check(gpu.table().allocate(gpu.device(), bytes, &memory.device_), "allocate");
  memory.gpu_ = &gpu;
  memory.bytes_ = bytes;
  return memory;
}

Memory Memory::onHost(const Gpu& gpu, std::size_t bytes) {
  Memory memory;
  gpu.check(gpu.table().allocateHost(gpu.device(), bytes, &memory.host_, &memory.device_), "allocateHost");
  memory.gpu_ = &gpu;
  memory.bytes_ = bytes;
  return memory;
}

Memory::~Memory() {
  if (gpu_ == nullptr) return;
  if (host_ != nullptr) gpu_->table().releaseHost(gpu_->device(), host_);
  else gpu_->table().release(gpu_->device(), device_);
}

void Memory::swap(Memory& other) noexcept {
  std::swap(gpu_, other.gpu_);
  std::swap(host_, other.host_);
  std::swap(device_, other.device_);
  std::swap(bytes_, other.bytes_);
}

Graph::Graph(const Gpu& gpu, int calls, const std::function<void(KvasirStream*, int)>& work) : gpu_(gpu) {
  gpu.check(gpu.table().beginCapture(gpu.stream()), "beginCapture");
  try {
    for (int call = 0; call < calls; ++call) work(gpu.stream(), call);
  } catch (...) {
    // Leave the stream usable for what comes next.
    if (gpu.table().endCapture(gpu.stream(), &graph_) == KVASIR_GPU_OK) gpu.table().destroyGraph(graph_);
    throw;
  }
  gpu.check(gpu.table().endCapture(gpu.stream(), &graph_), "endCapture");
}

Graph::~Graph() { gpu_.table().destroyGraph(graph_); }

void Graph::replay(KvasirStream* stream) const { gpu_.check(gpu_.table().launchGraph(graph_, stream), "launchGraph"); }

}  // namespace kvasir::gpu::bench
