#include "held_launches.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "../failure.h"

namespace kvasir::gpu {
namespace {

// A decoding sequence changes its bounds now and then, and batches their size: some of each.
constexpr std::size_t kMostGraphs = 8;

}  // namespace

std::size_t LaunchList::append(const void* from, std::size_t bytes) {
  constexpr std::size_t kAlignment = alignof(std::max_align_t);
  const std::size_t at = bytes_.size();
  bytes_.resize(at + (bytes + kAlignment - 1) / kAlignment * kAlignment);
  if (bytes > 0) std::memcpy(bytes_.data() + at, from, bytes);
  return at;
}

void LaunchList::add(Put put, const char* name, const void* op, std::size_t opBytes, const void* args, std::size_t argBytes) {
  const std::size_t opAt = append(op, opBytes);
  launches_.push_back({put, name, opAt, append(args, argBytes)});
}

void LaunchList::putOn(const Stream& stream) const {
  for (const Launch& launch : launches_) launch.put(stream, launch.name, bytes_.data() + launch.op, bytes_.data() + launch.args);
}

void LaunchList::clear() {
  launches_.clear();
  bytes_.clear();
}

LaunchGraphs::~LaunchGraphs() {
  for (const Known& known : known_) {
    if (known.graph != nullptr) device_->table.destroyGraph(known.graph);
  }
}

void LaunchGraphs::put(const Stream& stream, const LaunchList& list) {
  const auto found = std::find_if(known_.begin(), known_.end(), [&](const Known& known) { return known.list == list; });
  if (found == known_.end()) {
    if (known_.size() == kMostGraphs) {
      const auto older = [](const Known& a, const Known& b) { return a.lastUse < b.lastUse; };
      const auto oldest = std::min_element(known_.begin(), known_.end(), older);
      if (oldest->graph != nullptr) device_->table.destroyGraph(oldest->graph);
      known_.erase(oldest);
    }
    known_.push_back({list, nullptr, ++uses_});
    return list.putOn(stream);
  }
  found->lastUse = ++uses_;
  if (found->graph == nullptr && !found->isRefused) makeGraph(stream, *found);
  if (found->graph == nullptr) return list.putOn(stream);
  stream.launchGraph(found->graph);
  ++counts_.replays;
}

// A capture runs nothing: where it fails, all is still to do.
void LaunchGraphs::makeGraph(const Stream& stream, Known& known) {
  try {
    known.graph = capture(stream, known.list);
  } catch (const Failure& failure) {
    known.isRefused = true;
    counts_.refuse(failure.parameter + ": " + failure.got);
  }
}

KvasirGraph* LaunchGraphs::capture(const Stream& stream, const LaunchList& list) const {
  KvasirGraph* graph = nullptr;
  stream.beginCapture();
  try {
    list.putOn(stream);
  } catch (...) {
    if (device_->table.endCapture(stream.handle(), &graph) == KVASIR_GPU_OK) device_->table.destroyGraph(graph);
    throw;
  }
  device_->check(device_->table.endCapture(stream.handle(), &graph), "endCapture");
  return graph;
}

HeldLaunches::HeldLaunches(const Stream& stream) : stream_(stream) { stream_.holdIn(this); }

HeldLaunches::~HeldLaunches() { stream_.holdIn(nullptr); }

void HeldLaunches::letGo() {
  stream_.holdIn(nullptr);
  list.putOn(stream_);
  list.clear();
}

void HeldLaunches::finish(LaunchGraphs& graphs) {
  if (!stream_.isHolding()) return;
  stream_.holdIn(nullptr);
  if (list.size() > 0) graphs.put(stream_, list);
}

}  // namespace kvasir::gpu
