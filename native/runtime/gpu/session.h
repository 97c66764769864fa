// What one Kernels object has of a device: the stream of its jobs, and memory that they share. Used by the executor's
// thread alone, but for making and forgetting shadows.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "held_launches.h"
#include "lanes.h"
#include "row_reader.h"
#include "shadow.h"

namespace kvasir::gpu {

// Working memory of one op. The first `zeroBytes` are 0 before its first use, and it leaves them so.
class Workspace {
 public:
  std::uint8_t* reserve(const Stream& stream, std::size_t bytes, std::size_t zeroBytes);
  std::size_t bytes() const { return memory_.bytes(); }
  // After ops that may have been left out or broken off: nothing is known to be 0.
  void forget() { zeros_ = 0; }

 private:
  DeviceMemory memory_;
  std::size_t zeros_ = 0;  // first bytes that are 0 between ops
};

// Runs of programs, and those of them whose launches were one graph.
struct SessionCounts {
  std::atomic<std::uint64_t> runs{0};
  GraphCounts graphs;
};

class Session {
 public:
  explicit Session(const std::string& libraryPath);
  ~Session();

  // The one shadow of this memory; programs that name it share it.
  std::shared_ptr<Shadow> shadow(float* host, std::size_t bytes);

  const DevicePtr device;
  const Stream stream;
  // For single rows of weights, from any thread.
  std::mutex asideMutex;
  const Stream asideStream;
  PinnedMemory aside;
  Uploads uploads;
  // For memory of the device that host code asks for, from any thread.
  RowReader reader;
  Lanes lanes;
  Loader loader;
  const Event evenSteps, oddSteps;
  PinnedMemory queries;  // for selectors on the host
  Workspace attendWorkspace;
  Workspace prefillWorkspace;
  Workspace massWorkspace;
  Workspace linearWorkspace;
  Workspace handedWorkspace;
  Workspace selectWorkspace;
  SessionCounts counts;

  void forgetWorkspaces();

 private:
  std::mutex mutex_;
  std::map<std::pair<const float*, std::size_t>, std::weak_ptr<Shadow>> shadows_;
};

using SessionPtr = std::shared_ptr<Session>;

}  // namespace kvasir::gpu
