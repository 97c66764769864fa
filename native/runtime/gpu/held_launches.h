// Launches of a run, held back to be put on the stream together: as one graph where the same launches came before.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "device.h"

namespace kvasir::gpu {

// From any thread.
class GraphCounts {
 public:
  std::atomic<std::uint64_t> replays{0};

  void refuse(const std::string& why) {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++refusals_;
    why_ = why;
  }
  // Lists that the device made no graph of, and what it said of the last one.
  std::pair<std::uint64_t, std::string> refused() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return {refusals_, why_};
  }

 private:
  mutable std::mutex mutex_;
  std::uint64_t refusals_ = 0;
  std::string why_;
};

// Ops and their arguments, byte for byte: what makes two runs the same to a device, since all that changes from one run to
// the next lies in memory that the arguments point to.
class LaunchList {
 public:
  using Put = void (*)(const Stream& stream, const char* name, const std::uint8_t* op, const std::uint8_t* args);

  void add(Put put, const char* name, const void* op, std::size_t opBytes, const void* args, std::size_t argBytes);
  void putOn(const Stream& stream) const;
  void clear();

  int size() const { return static_cast<int>(launches_.size()); }
  bool operator==(const LaunchList& other) const { return launches_ == other.launches_ && bytes_ == other.bytes_; }

 private:
  struct Launch {
    Put put;
    const char* name;
    std::size_t op, args;  // in bytes_
    bool operator==(const Launch& other) const { return put == other.put && op == other.op && args == other.args; }
  };

  std::size_t append(const void* from, std::size_t bytes);

  std::vector<Launch> launches_;
  std::vector<std::uint8_t> bytes_;
};

// Graphs of one program. A list that comes a second time is captured, and replayed from then on; one that the device makes no
// graph of goes on the stream launch by launch, each time.
class LaunchGraphs {
 public:
  LaunchGraphs(DevicePtr device, GraphCounts& counts) : device_(std::move(device)), counts_(counts) {}
  ~LaunchGraphs();
  LaunchGraphs(const LaunchGraphs&) = delete;
  LaunchGraphs& operator=(const LaunchGraphs&) = delete;

  // The list goes on the stream, one way or the other.
  void put(const Stream& stream, const LaunchList& list);

 private:
  struct Known {
    LaunchList list;
    KvasirGraph* graph = nullptr;  // null: seen once, or refused
    std::uint64_t lastUse = 0;
    bool isRefused = false;
  };

  KvasirGraph* capture(const Stream& stream, const LaunchList& list) const;
  void makeGraph(const Stream& stream, Known& known);

  DevicePtr device_;
  GraphCounts& counts_;
  std::vector<Known> known_;
  std::uint64_t uses_ = 0;
};

// While it lives, launches and fills on the stream wait in it. Anything else that the stream is asked for puts them on it first, and
// ends the holding: order stays what it was.
class HeldLaunches {
 public:
  explicit HeldLaunches(const Stream& stream);
  // Drops what is held: the run has failed or was aborted, and what it would have filled is not.
  ~HeldLaunches();
  HeldLaunches(const HeldLaunches&) = delete;
  HeldLaunches& operator=(const HeldLaunches&) = delete;

  // Puts them on the stream one by one, and holds no more.
  void letGo();
  // The same at the end of a run, as a graph where all of it was held and came before.
  void finish(LaunchGraphs& graphs);

  LaunchList list;

 private:
  const Stream& stream_;
};

}  // namespace kvasir::gpu
