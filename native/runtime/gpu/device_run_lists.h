// Run lists that selectRuns writes and attendRuns reads, in device memory.
#pragma once

#include <vector>

#include "../run_lists.h"
#include "device_program.h"

namespace kvasir::gpu {

class DeviceRunLists final : public ListsElsewhere {
 public:
  DeviceRunLists(SessionPtr session, int numKvHeads) : session_(std::move(session)), numKvHeads_(numKvHeads) {}

  // Where the first lists are, if all are here.
  static DeviceRunLists* of(const RunLists& lists, int numSequences) {
    return lists.areAway(numSequences) ? dynamic_cast<DeviceRunLists*>(lists.elsewhere().get()) : nullptr;
  }

  // Those of a RunLists, which keeps them.
  static std::shared_ptr<DeviceRunLists> beside(const SessionPtr& session, RunLists& lists);

  // Room for lists of sequences of contextTokens [numSequences] tokens, none of more than maxTokens rows. Nothing that
  // reads or writes the lists may be under way.
  void reserve(const Batch& batch, int maxTokens, std::size_t maxRuns);

  std::int32_t* rowStarts() const { return reinterpret_cast<std::int32_t*>(rowStarts_.data()); }
  KvasirKvRun* runs() const { return reinterpret_cast<KvasirKvRun*>(runs_.data()); }
  int maxRuns() const { return static_cast<int>(runs_.bytes() / sizeof(KvasirKvRun)); }

  DeviceLists lists(int numSequences) const;
  // Whether no sequence is shorter than when its list was chosen.
  bool isHeldBy(const Batch& batch) const;

  // From any thread, once the stream is past what wrote the lists.
  void read(int sequence, ChosenRuns& out) override;

 private:
  SessionPtr session_;
  int numKvHeads_;
  DeviceMemory rowStarts_, runs_;
  std::vector<std::int32_t> numTokens_;  // of each sequence
  int maxTokens_ = 0;
};

}  // namespace kvasir::gpu
