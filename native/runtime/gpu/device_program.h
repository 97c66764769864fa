// A program whose ops run on a device. The caller's buffers stay its face: a run sends what ops read before any of them
// writes it, and brings back what they wrote.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "../arena.h"
#include "../program.h"
#include "../run_lists.h"
#include "handed_rows.h"
#include "held_launches.h"
#include "session.h"

namespace kvasir::gpu {

// Rows of a buffer that an op touches, from its first one on.
struct RowCount {
  enum Kind { extent, largestIndex, lastStart } kind = extent;
  Extent rows{};
  int source = -1;  // largestIndex: one more than the largest of `rows` indices; lastStart: rows of a batch

  int of(const Run& run) const;
};

// Run lists as attention reads them on the device.
struct DeviceLists {
  KvasirRunRows rows{};
  int numRows = 0;
  int maxTokens = 0;  // of the longest list
};

class DeviceProgram final : public Program {
 public:
  explicit DeviceProgram(SessionPtr session) : session_(std::move(session)), graphs_(session_->device, session_->counts.graphs) {}

  // While it is compiled. Uses are told op by op, in order; within an op, reads before writes.
  void buffer(const float* data, std::size_t length) override;
  float* reads(const float* data, std::size_t rowValues, RowCount rows);
  float* writes(float* data, std::size_t rowValues, RowCount rows);
  // The op has told that it writes all of `out`, and could give it in halves too.
  HandedRowsPtr offersHalves(const float* out, int cols, Extent rows) { return handed_.offer(numbers_.at(out), cols, rows); }
  // In place of reads(x): an op before this one gives all of x in halves. Null: none does.
  HandedRowsPtr takesHalves(const float* x, int cols, Extent rows);
  // An op is about rows of this layer.
  void touches(Arena& arena, int layer) { layers_.insert({&arena, layer}); }
  // Once all ops have told. Throws a Failure for buffers that a device cannot follow.
  void finish();
  // What it holds after a run is nobody's business.
  void scratch(const float* data) override { scratch_.insert(data); }

  void execute(Context& context, Run& run) const override;

  // For steps, within execute().
  Session& session() const { return *session_; }
  const SessionPtr& sharedSession() const { return session_; }
  // Device address of these sequences; layers that ask for the same ones share it.
  const KvasirSelectSequence* shared(const std::vector<KvasirSelectSequence>& sequences) const;
  const std::int32_t* indices(const Run& run, int source) const { return indices_ + run.start(source); }
  // The same slots, all but the last of equal ones replaced by -1.
  const std::int32_t* distinctSlots(const Run& run, int source, int rows) const;
  DeviceLists lists(RunLists& lists, int numSequences, int numHeads) const;
  // Fetches lists that the device has written, in this run or before it.
  void bringHome(RunLists& lists) const;

 private:
  struct Use {
    std::size_t shadow;
    std::size_t rowBytes;
    RowCount rows;
    bool writes;
  };
  // Bytes of one shadow, from its start on.
  struct Traffic {
    std::size_t upload = 0, written = 0;
  };

  Shadow& addUse(const float* data, std::size_t rowValues, RowCount rows, bool writes);
  std::vector<Traffic> trafficOf(const Run& run) const;
  void refuseOverlaps() const;
  void runSteps(Context& context, Run& run) const;

  SessionPtr session_;
  std::unordered_map<const float*, std::size_t> lengths_;  // of all buffers named
  std::unordered_map<const float*, std::size_t> numbers_;  // in shadows_
  std::unordered_set<const float*> scratch_;
  std::vector<std::shared_ptr<Shadow>> shadows_;
  std::vector<Use> uses_;
  HandedRowsOfProgram handed_;
  std::set<std::pair<Arena*, int>> layers_;
  struct SentLists {
    bool sent = false;
    std::uint64_t version = 0;
    DeviceLists lists;
  };

  mutable LaunchGraphs graphs_;

  // Of the run under way: one at a time, on the executor's thread.
  mutable const std::int32_t* indices_ = nullptr;
  mutable std::map<int, const std::int32_t*> distinct_;
  mutable std::map<const RunLists*, SentLists> lists_;
  mutable std::vector<KvasirSelectSequence> sequences_;  // the last ones sent
  mutable const KvasirSelectSequence* sentSequences_ = nullptr;
};

}  // namespace kvasir::gpu
