#include "device_run_lists.h"

#include <algorithm>

namespace kvasir::gpu {

std::shared_ptr<DeviceRunLists> DeviceRunLists::beside(const SessionPtr& session, RunLists& lists) {
  auto known = std::dynamic_pointer_cast<DeviceRunLists>(lists.elsewhere());
  if (known != nullptr) return known;
  known = std::make_shared<DeviceRunLists>(session, lists.numKvHeads());
  lists.leave(known, 0);
  return known;
}

void DeviceRunLists::reserve(const Batch& batch, int maxTokens, std::size_t maxRuns) {
  numTokens_.assign(batch.contextTokens, batch.contextTokens + batch.numSequences);
  maxTokens_ = maxTokens;
  const std::size_t startBytes = (static_cast<std::size_t>(batch.numSequences) * static_cast<std::size_t>(numKvHeads_) + 1) * sizeof(std::int32_t);
  const std::size_t runBytes = maxRuns * sizeof(KvasirKvRun);
  if (rowStarts_.bytes() < startBytes) rowStarts_ = DeviceMemory(session_->device, startBytes);
  if (runs_.bytes() < runBytes) runs_ = DeviceMemory(session_->device, runBytes + runBytes / 4);
}

DeviceLists DeviceRunLists::lists(int numSequences) const {
  DeviceLists own;
  own.rows.rowStarts = rowStarts();
  own.rows.runs = runs();
  own.numRows = numSequences * numKvHeads_;
  own.maxTokens = maxTokens_;
  return own;
}

bool DeviceRunLists::isHeldBy(const Batch& batch) const {
  for (int s = 0; s < batch.numSequences; ++s) {
    if (numTokens_[static_cast<std::size_t>(s)] > batch.contextTokens[s]) return false;
  }
  return true;
}

void DeviceRunLists::read(int sequence, ChosenRuns& out) {
  const std::size_t rows = static_cast<std::size_t>(numKvHeads_) + 1;
  const auto lock = session_->reader.lock();
  out.rowStarts.resize(rows);
  const std::int32_t* starts = rowStarts() + sequence * numKvHeads_;
  session_->reader.copy(lock, out.rowStarts.data(), starts, rows * sizeof(std::int32_t));
  const std::int32_t first = out.rowStarts.front();
  // An aborted run leaves anything.
  if (first < 0 || out.rowStarts.back() > maxRuns() || !std::is_sorted(out.rowStarts.begin(), out.rowStarts.end())) {
    std::fill(out.rowStarts.begin(), out.rowStarts.end(), 0);
    out.runs.clear();
    return;
  }
  for (std::int32_t& start : out.rowStarts) start -= first;
  out.runs.resize(static_cast<std::size_t>(out.rowStarts.back()));
  session_->reader.copy(lock, out.runs.data(), runs() + first, out.runs.size() * sizeof(KvRun));
}

}  // namespace kvasir::gpu
