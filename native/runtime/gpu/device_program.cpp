#include "device_program.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "../failure.h"

namespace kvasir::gpu {
namespace {

// The host is never more steps ahead of the device than twice this: an aborted run ends soon.
constexpr int kStepsBetweenWaits = 16;

// More rows keep the device busy for longer than their launches take, and an abort waiting.
constexpr int kMostHeldTokens = 16;

bool has(const std::vector<const float*>& buffers, const float* one) {
  return std::find(buffers.begin(), buffers.end(), one) != buffers.end();
}

}  // namespace

int RowCount::of(const Run& run) const {
  const int count = run.counts.of(rows);
  switch (kind) {
    case extent: return count;
    case lastStart: return run.counts.sequences > 0 ? run.indices(source)[run.counts.sequences] : 0;
    case largestIndex: break;
  }
  const std::int32_t* ids = run.indices(source);
  return count > 0 ? *std::max_element(ids, ids + count) + 1 : 0;
}

void DeviceProgram::buffer(const float* data, std::size_t length) {
  std::size_t& known = lengths_[data];
  known = std::max(known, length);
}

float* DeviceProgram::reads(const float* data, std::size_t rowValues, RowCount rows) {
  return addUse(data, rowValues, rows, false).data();
}

float* DeviceProgram::writes(float* data, std::size_t rowValues, RowCount rows) {
  return addUse(data, rowValues, rows, true).data();
}

Shadow& DeviceProgram::addUse(const float* data, std::size_t rowValues, RowCount rows, bool writes) {
  const auto [at, isNew] = numbers_.try_emplace(data, shadows_.size());
  if (isNew) shadows_.push_back(session_->shadow(const_cast<float*>(data), lengths_.at(data) * sizeof(float)));
  uses_.push_back({at->second, rowValues * sizeof(float), rows, writes});
  if (writes) handed_.writes(at->second, rowValues * sizeof(float), rows.kind == RowCount::extent ? &rows.rows : nullptr);
  else handed_.reads(at->second);
  return *shadows_[at->second];
}

HandedRowsPtr DeviceProgram::takesHalves(const float* x, int cols, Extent rows) {
  const auto at = numbers_.find(x);
  return at == numbers_.end() ? nullptr : handed_.take(at->second, cols, rows);
}

void DeviceProgram::finish() {
  refuseOverlaps();
  handed_.finish([&](std::size_t shadow) { return scratch_.count(shadows_[shadow]->host()) == 0; });
}

// Two shadows of one piece of memory drift apart once one is written.
void DeviceProgram::refuseOverlaps() const {
  const auto bytesAt = [](const float* data) { return reinterpret_cast<const std::uint8_t*>(data); };
  for (const Use& use : uses_) {
    const Shadow& own = *shadows_[use.shadow];
    const std::uint8_t* start = bytesAt(own.host());
    for (const auto& [data, length] : lengths_) {
      const bool isOwn = data == own.host() && length * sizeof(float) == own.bytes();
      const bool meets = bytesAt(data) < start + own.bytes() && start < bytesAt(data) + length * sizeof(float);
      if (isOwn || !meets || !(use.writes || data == own.host())) continue;
      throw Failure{"ops", "buffers that are the same or do not overlap where one is written on a GPU", "two that overlap"};
    }
  }
}

std::vector<DeviceProgram::Traffic> DeviceProgram::trafficOf(const Run& run) const {
  std::vector<Traffic> traffic(shadows_.size());
  for (const Use& use : uses_) {
    const std::size_t bytes = static_cast<std::size_t>(use.rows.of(run)) * use.rowBytes;
    Traffic& own = traffic[use.shadow];
    if (use.writes) own.written = std::max(own.written, bytes);
    else if (bytes > own.written && !has(run.takesUp, shadows_[use.shadow]->host())) own.upload = std::max(own.upload, bytes);
  }
  return traffic;
}

const std::int32_t* DeviceProgram::distinctSlots(const Run& run, int source, int rows) const {
  const auto known = distinct_.find(source);
  if (known != distinct_.end()) return known->second;
  std::vector<std::int32_t> slots(run.indices(source), run.indices(source) + rows);
  std::unordered_set<std::int32_t> seen;
  bool repeated = false;
  for (int r = rows - 1; r >= 0; --r) {
    if (seen.insert(slots[static_cast<std::size_t>(r)]).second) continue;
    slots[static_cast<std::size_t>(r)] = -1;
    repeated = true;
  }
  const std::int32_t* address = repeated ? session_->uploads.push(slots.data(), slots.size()) : indices(run, source);
  return distinct_[source] = address;
}

const KvasirSelectSequence* DeviceProgram::shared(const std::vector<KvasirSelectSequence>& sequences) const {
  const std::size_t bytes = sequences.size() * sizeof(KvasirSelectSequence);
  const bool known = sequences_.size() == sequences.size() && std::memcmp(sequences_.data(), sequences.data(), bytes) == 0;
  if (known) return sentSequences_;
  sequences_ = sequences;
  return sentSequences_ = session_->uploads.push(sequences.data(), sequences.size());
}

void DeviceProgram::execute(Context& context, Run& run) const {
  const Stream& stream = session_->stream;
  session_->uploads.reset();
  distinct_.clear();
  lists_.clear();
  sequences_.clear();
  const std::vector<Traffic> traffic = trafficOf(run);
  try {
    for (const auto& [arena, layer] : layers_) arena->awaitLoads(layer);
    indices_ = session_->uploads.push(run.allIndices().data(), run.allIndices().size());
    for (std::size_t i = 0; i < shadows_.size(); ++i) {
      if (traffic[i].upload > 0) shadows_[i]->upload(stream, traffic[i].upload);
      if (traffic[i].written > 0) shadows_[i]->changed();
    }
    for (const std::unique_ptr<Step>& step : steps()) step->prepare(run);
    std::optional<HeldLaunches> held;
    if (run.counts.tokens <= kMostHeldTokens) held.emplace(stream);
    runSteps(context, run);
    if (held && !context.cancelled()) held->finish(graphs_);
    held.reset();
    ++session_->counts.runs;
    if (context.cancelled()) {
      session_->forgetWorkspaces();
      return stream.synchronize();
    }
    const auto comesBack = [&](std::size_t i) {
      const float* host = shadows_[i]->host();
      return traffic[i].written > 0 && scratch_.count(host) == 0 && !has(run.leaves, host);
    };
    for (std::size_t i = 0; i < shadows_.size(); ++i) {
      if (comesBack(i)) shadows_[i]->fetch(stream, traffic[i].written);
    }
    stream.synchronize();
    for (std::size_t i = 0; i < shadows_.size(); ++i) {
      if (comesBack(i)) shadows_[i]->deliver(traffic[i].written);
    }
    for (const std::unique_ptr<Step>& step : steps()) step->finish(run);
  } catch (...) {
    // Copies and fills that were asked for may never have been made.
    stream.settle();
    session_->forgetWorkspaces();
    for (const std::shared_ptr<Shadow>& shadow : shadows_) shadow->changed();
    throw;
  }
}

void DeviceProgram::runSteps(Context& context, Run& run) const {
  const Stream& stream = session_->stream;
  const Event* const events[2] = {&session_->evenSteps, &session_->oddSteps};
  int done = 0;
  for (const std::unique_ptr<Step>& step : steps()) {
    if (context.cancelled()) return;
    step->execute(context, run);
    if (stream.isHolding() || ++done % kStepsBetweenWaits != 0) continue;
    const int turn = done / kStepsBetweenWaits;
    stream.record(*events[turn % 2]);
    if (turn > 1) events[(turn - 1) % 2]->synchronize();
  }
}

}  // namespace kvasir::gpu
