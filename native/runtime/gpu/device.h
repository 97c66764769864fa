// An opened device with what its work goes through. Everything here throws a Failure where the device refuses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
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

// A queue of work, used by one thread at a time.
class Stream {
 public:
  explicit Stream(DevicePtr device);
  ~Stream() { device_->table.destroyStream(handle_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  const DevicePtr& device() const { return device_; }

  void copy(void* to, const void* from, std::size_t bytes) const {
    device_->check(device_->table.copy(handle_, to, from, bytes), "copy");
  }
  void fill(void* to, int byte, std::size_t bytes) const {
    device_->check(device_->table.fill(handle_, to, byte, bytes), "fill");
  }
  void record(const Event& event) const {
    device_->check(device_->table.recordEvent(handle_, event.handle()), "recordEvent");
  }
  void wait(const Event& event) const {
    device_->check(device_->table.waitEvent(handle_, event.handle()), "waitEvent");
  }
  void synchronize() const { device_->check(device_->table.synchronizeStream(handle_), "synchronizeStream"); }
  // Waits, whatever comes of it: for memory that is about to go.
  void settle() const { device_->table.synchronizeStream(handle_); }

  // Puts an op on the queue: launch(&KvasirGpuV1::ropeRows, "ropeRows", args).
  template <class Args>
  void launch(int (*KvasirGpuV1::*op)(KvasirStream*, const Args*), const char* name, const Args& args) const {
    device_->check((device_->table.*op)(handle_, &args), name);
  }

 private:
  DevicePtr device_;
  KvasirStream* handle_ = nullptr;
};

}  // namespace kvasir::gpu
