#include "device.h"

#include "../failure.h"
#include "held_launches.h"

namespace kvasir::gpu {
namespace {

// A decode step has some hundreds; more is a run that may be aborted.
constexpr int kMostHeld = 2048;

LibraryState presentLibrary(const std::string& path) {
  LibraryState state = openLibrary(path);
  if (state.table == nullptr) throw Failure{"backend", "cuda", state.missing, Failure::Kind::backend};
  return state;
}

}  // namespace

Device::Device(const std::string& libraryPath) : Device(presentLibrary(libraryPath)) {}

Device::Device(const LibraryState& state) : table(*state.table) { check(table.openDevice(0, &handle), "openDevice"); }

DeviceMemory::DeviceMemory(DevicePtr device, std::size_t bytes) : device_(std::move(device)), bytes_(bytes) {
  void* address = nullptr;
  device_->check(device_->table.allocate(device_->handle, bytes, &address), "allocate");
  data_ = static_cast<std::uint8_t*>(address);
}

DeviceMemory& DeviceMemory::operator=(DeviceMemory&& other) noexcept {
  if (this == &other) return *this;
  release();
  device_ = std::move(other.device_);
  data_ = std::exchange(other.data_, nullptr);
  bytes_ = std::exchange(other.bytes_, 0);
  return *this;
}

void DeviceMemory::release() {
  if (data_ != nullptr) device_->table.release(device_->handle, data_);
  data_ = nullptr;
}

PinnedMemory::PinnedMemory(DevicePtr device, std::size_t bytes) : device_(std::move(device)), bytes_(bytes) {
  void *host = nullptr, *mapped = nullptr;
  device_->check(device_->table.allocateHost(device_->handle, bytes, &host, &mapped), "allocateHost");
  data_ = static_cast<std::uint8_t*>(host);
  mapped_ = static_cast<std::uint8_t*>(mapped);
}

PinnedMemory& PinnedMemory::operator=(PinnedMemory&& other) noexcept {
  if (this == &other) return *this;
  release();
  device_ = std::move(other.device_);
  data_ = std::exchange(other.data_, nullptr);
  mapped_ = std::exchange(other.mapped_, nullptr);
  bytes_ = std::exchange(other.bytes_, 0);
  return *this;
}

void PinnedMemory::release() {
  if (data_ != nullptr) device_->table.releaseHost(device_->handle, data_);
  data_ = nullptr;
}

Event::Event(DevicePtr device) : device_(std::move(device)) {
  device_->check(device_->table.createEvent(device_->handle, &handle_), "createEvent");
}

Stream::Stream(DevicePtr device) : device_(std::move(device)) {
  device_->check(device_->table.createStream(device_->handle, 0, &handle_), "createStream");
}

void Stream::putHeld() const {
  if (held_ != nullptr) held_->letGo();
}

void Stream::holdFill(void* to, int byte, std::size_t bytes) const {
  struct Fill {
    void* to;
    std::size_t bytes, byte;
  };
  const Fill fill{to, bytes, static_cast<std::size_t>(byte)};
  const auto put = [](const Stream& stream, const char*, const std::uint8_t*, const std::uint8_t* args) {
    const Fill& own = *reinterpret_cast<const Fill*>(args);
    stream.fill(own.to, static_cast<int>(own.byte), own.bytes);
  };
  hold(put, "fill", nullptr, 0, &fill, sizeof fill);
}

void Stream::hold(PutHeld put, const char* name, const void* op, std::size_t opBytes, const void* args,
                  std::size_t argBytes) const {
  held_->list.add(put, name, op, opBytes, args, argBytes);
  if (held_->list.size() == kMostHeld) held_->letGo();
}

}  // namespace kvasir::gpu
