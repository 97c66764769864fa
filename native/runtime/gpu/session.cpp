#include "session.h"

#include <algorithm>

namespace kvasir::gpu {

std::uint8_t* Workspace::reserve(const Stream& stream, std::size_t bytes, std::size_t zeroBytes) {
  if (memory_.bytes() < bytes || memory_.data() == nullptr) {
    // Ops on the stream may still use what goes.
    stream.synchronize();
    memory_ = DeviceMemory();
    memory_ = DeviceMemory(stream.device(), bytes + bytes / 4);
    zeros_ = 0;
  }
  if (zeroBytes > zeros_) stream.fill(memory_.data(), 0, zeroBytes);
  zeros_ = zeroBytes;
  return memory_.data();
}

Session::Session(const std::string& libraryPath)
    : device(std::make_shared<Device>(libraryPath)), stream(device), asideStream(device), uploads(stream), reader(device), lanes(device, 2), loader(device), evenSteps(device), oddSteps(device) {}

Session::~Session() {
  stream.settle();
  asideStream.settle();
}

void Session::forgetWorkspaces() {
  Workspace* const all[] = {&attendWorkspace, &prefillWorkspace, &massWorkspace, &linearWorkspace, &handedWorkspace, &selectWorkspace};
  for (Workspace* workspace : all) workspace->forget();
}

std::shared_ptr<Shadow> Session::shadow(float* host, std::size_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (auto at = shadows_.begin(); at != shadows_.end();) at = at->second.expired() ? shadows_.erase(at) : std::next(at);
  std::weak_ptr<Shadow>& known = shadows_[{host, bytes}];
  std::shared_ptr<Shadow> shadow = known.lock();
  if (shadow == nullptr) known = shadow = std::make_shared<Shadow>(stream, host, bytes);
  return shadow;
}

}  // namespace kvasir::gpu
