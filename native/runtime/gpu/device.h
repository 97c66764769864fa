// An opened device with what its work goes through. Everything here throws a Failure where the device refuses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>
#include <utility>

#include "library.h"

namespace kvasir::gpu {

// The device and its table; the last owner closes it.
class Device {
 public:
  explicit Device(const std::string& libraryPath);
  ~Device() { table.closeDevice(handle); }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  void check(int status, const char* call) const { gpu::check(table, status, call); }

  const KvasirGpuV1& table;
  KvasirDevice* handle = nullptr;

 private:
  explicit Device(const LibraryState& state);
};

using DevicePtr = std::shared_ptr<Device>;

class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(DevicePtr device, std::size_t bytes);
  ~DeviceMemory() { release(); }
  DeviceMemory(DeviceMemory&& other) noexcept { *this = std::move(other); }
  DeviceMemory& operator=(DeviceMemory&& other) noexcept;

  std::uint8_t* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  void release();

  DevicePtr device_;
  std::uint8_t* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// Host memory that copies go through without a detour; kernels find it at mapped().
class PinnedMemory {
 public:
  PinnedMemory() = default;
  PinnedMemory(DevicePtr device, std::size_t bytes);
  ~PinnedMemory() { release(); }
  PinnedMemory(PinnedMemory&& other) noexcept { *this = std::move(other); }
  PinnedMemory& operator=(PinnedMemory&& other) noexcept;

  std::uint8_t* data() const { return data_; }
  std::uint8_t* mapped() const { return mapped_; }
  std::size_t bytes() const { return bytes_; }

 private:
  void release();

  DevicePtr device_;
  std::uint8_t* data_ = nullptr;
  std::uint8_t* mapped_ = nullptr;
  std::size_t bytes_ = 0;
};

// Recorded on a stream, waited for by another stream or by the host.
class Event {
 public:
  explicit Event(DevicePtr device);
  ~Event() { device_->table.destroyEvent(handle_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  KvasirEvent* handle() const { return handle_; }
  void synchronize() const { device_->check(device_->table.synchronizeEvent(handle_), "synchronizeEvent"); }

 private:
  DevicePtr device_;
  KvasirEvent* handle_ = nullptr;
};

class HeldLaunches;

// A queue of work, used by one thread at a time. What is held of it (held_launches.h) goes on it before anything that
// follows.
class Stream {
 public:
  explicit Stream(DevicePtr device);
  ~Stream() { device_->table.destroyStream(handle_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  const DevicePtr& device() const { return device_; }
  KvasirStream* handle() const { return handle_; }

  void copy(void* to, const void* from, std::size_t bytes) const {
    putHeld();
    copyAhead(to, from, bytes);
  }
  // The same for memory that no launch before it names: it need not wait for those that are held.
  void copyAhead(void* to, const void* from, std::size_t bytes) const {
    device_->check(device_->table.copy(handle_, to, from, bytes), "copy");
  }
  void copyRows(void* to, std::size_t toStride, const void* from, std::size_t fromStride, std::size_t rowBytes, std::size_t rows) const {
    putHeld();
    device_->check(device_->table.copy2d(handle_, to, toStride, from, fromStride, rowBytes, rows), "copy2d");
  }
  void fill(void* to, int byte, std::size_t bytes) const {
    if (held_ != nullptr) return holdFill(to, byte, bytes);
    device_->check(device_->table.fill(handle_, to, byte, bytes), "fill");
  }
  void record(const Event& event) const {
    putHeld();
    device_->check(device_->table.recordEvent(handle_, event.handle()), "recordEvent");
  }
  void wait(const Event& event) const {
    putHeld();
    device_->check(device_->table.waitEvent(handle_, event.handle()), "waitEvent");
  }
  void synchronize() const {
    putHeld();
    device_->check(device_->table.synchronizeStream(handle_), "synchronizeStream");
  }
  // Waits, whatever comes of it: for memory that is about to go.
  void settle() const { device_->table.synchronizeStream(handle_); }

  // Puts an op on the queue: launch(&KvasirGpuV1::ropeRows, "ropeRows", args).
  template <class Args>
  void launch(int (*KvasirGpuV1::*op)(KvasirStream*, const Args*), const char* name, const Args& args) const {
    if (held_ != nullptr) return hold(&putHeldOp<Args>, name, &op, sizeof op, &args, sizeof args);
    device_->check((device_->table.*op)(handle_, &args), name);
  }

  void beginCapture() const { device_->check(device_->table.beginCapture(handle_), "beginCapture"); }
  void launchGraph(KvasirGraph* graph) const { device_->check(device_->table.launchGraph(graph, handle_), "launchGraph"); }

  // Null: launches go on the queue at once.
  void holdIn(HeldLaunches* held) const { held_ = held; }
  bool isHolding() const { return held_ != nullptr; }

 private:
  using PutHeld = void (*)(const Stream& stream, const char* name, const std::uint8_t* op, const std::uint8_t* args);

  void putHeld() const;
  void holdFill(void* to, int byte, std::size_t bytes) const;
  void hold(PutHeld put, const char* name, const void* op, std::size_t opBytes, const void* args, std::size_t argBytes) const;

  template <class Args>
  static void putHeldOp(const Stream& stream, const char* name, const std::uint8_t* op, const std::uint8_t* args) {
    static_assert(std::is_trivially_copyable_v<Args>, "held as bytes");
    int (*KvasirGpuV1::*own)(KvasirStream*, const Args*);
    std::memcpy(&own, op, sizeof own);
    stream.launch(own, name, *reinterpret_cast<const Args*>(args));
  }

  DevicePtr device_;
  KvasirStream* handle_ = nullptr;
  mutable HeldLaunches* held_ = nullptr;
};

}  // namespace kvasir::gpu
