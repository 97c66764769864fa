// A library of the table in abi.h, opened at run time: its first device, memory and graphs, with errors as exceptions.
#pragma once

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "../abi.h"

namespace kvasir::gpu::bench {

struct GpuError : std::runtime_error {
  GpuError(int status, const std::string& text) : std::runtime_error(text), status(status) {}
  int status;
};

class Gpu {
 public:
  // Throws GpuError: status ABSENT where there is no device.
  explicit Gpu(const std::string& libraryPath);
  ~Gpu();
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

  const KvasirGpuV1& table() const { return *table_; }
  const KvasirDeviceInfo& info() const { return info_; }
  KvasirDevice* device() const { return device_; }
  KvasirStream* stream() const { return stream_; }
  bool emulated() const;

  void check(int status, const char* what) const;
  void synchronize() const { check(table_->synchronizeStream(stream_), "synchronizeStream"); }
  std::size_t freeBytes() const;

 private:
  const KvasirGpuV1* table_ = nullptr;
  KvasirDeviceInfo info_{};
  KvasirDevice* device_ = nullptr;
  KvasirStream* stream_ = nullptr;
};

// Device memory, or pinned host memory that the device reads at `device()`.
class Memory {
 public:
  Memory() = default;
  Memory(Memory&& other) noexcept { swap(other); }
  Memory& operator=(Memory&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Memory();

  static Memory onDevice(const Gpu& gpu, std::size_t bytes);
  static Memory onHost(const Gpu& gpu, std::size_t bytes);

  std::size_t bytes() const { return bytes_; }
  void* host() const { return host_; }  // null for device memory
  template <class T = std::uint8_t>
  T* device(std::size_t byteOffset = 0) const {
    return reinterpret_cast<T*>(static_cast<std::uint8_t*>(device_) + byteOffset);
  }

 private:
  void swap(Memory& other) noexcept;

  const Gpu* gpu_ = nullptr;
  void* host_ = nullptr;
  void* device_ = nullptr;
  std::size_t bytes_ = 0;
};

template <class T>
Memory upload(const Gpu& gpu, const std::vector<T>& values) {
  Memory memory = Memory::onDevice(gpu, values.size() * sizeof(T));
  gpu.check(gpu.table().copy(gpu.stream(), memory.device(), values.data(), values.size() * sizeof(T)), "upload");
  gpu.synchronize();
  return memory;
}

template <class T>
std::vector<T> download(const Gpu& gpu, const void* from, std::size_t count) {
  std::vector<T> values(count);
  gpu.check(gpu.table().copy(gpu.stream(), values.data(), from, count * sizeof(T)), "download");
  gpu.synchronize();
  return values;
}

// `calls` calls of work, kept and replayed. work(stream, call) must only launch and copy.
class Graph {
 public:
  Graph(const Gpu& gpu, int calls, const std::function<void(KvasirStream*, int)>& work);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void replay(KvasirStream* stream) const;

 private:
  const Gpu& gpu_;
  KvasirGraph* graph_ = nullptr;
};

}  // namespace kvasir::gpu::bench
