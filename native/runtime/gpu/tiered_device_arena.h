// An arena whose rows lie in pinned host memory, a bounded part of them in slots on the device.
#pragma once

#include <mutex>
#include <vector>

#include "../../tier/tiered_arena.h"
#include "device_arena.h"
#include "tiered_staging.h"

namespace kvasir::gpu {

// All rows are written to host memory as they come, so that a slot is given up by forgetting it. A decode step's lists become
// addresses by an op: of slots, or of host memory for what finds none. Prefill reads a layer where it is staged. Host code
// reads rows where they lie, between runs or once the session's stream is past what wrote them.
class TieredDeviceArena final : public DeviceArena {
 public:
  // `options` are such that holds() says yes. Throws a Failure: too few hotBytes, or what DeviceArena refuses.
  TieredDeviceArena(SessionPtr session, const ArenaShape& shape, const tier::TierOptions& options);
  // Whether rows can be read where they lie and nothing is asked of the host: others are a MirroredArena's.
  static bool holds(const tier::TierOptions& options);
  ~TieredDeviceArena() override;

  // From any thread; what a run under way does may not be in it yet.
  tier::TierCounts counts();

  // For steps, on the session's stream. `slots` are those of the rows, on the host.
  void write(const KvasirWriteKvArgs& args, const std::int32_t* slots);
  // Brings the rows of the lists into slots and lets `args` read them there.
  void bring(KvasirAttendRunsArgs& args, int numLists);
  // Where rows are found that ops before have brought up, for what follows on the stream.
  const KvasirHotRows& hotRows() {
    catchUp();
    return hot_;
  }
  // All rows of the batch; the next layer's are sent for.
  StagedRows stage(int layer, const Batch& batch);

  const KvView* view() const override { return &hostView_; }
  KeyRows* keyRows(int, const std::int32_t*) override { return nullptr; }
  void copyPage(int from, int to) override;
  void readRows(int layer, int kvHead, bool values, const std::int32_t* pages, int start, int end, float* out) override;
  void gatherKeys(int layer, int kvHead, const std::int32_t* pages, const std::int32_t* indices, int count,
                  std::uint8_t* out) override;
  void adopt(Context& context, int layer, const std::uint8_t* source, int sourceTokens, const std::int32_t* rowsOf,
             const std::int32_t* slots, int rows, const KeyTurns* turns) override;
  void exportTo(Context& context, int layer, const std::int32_t* pages, int numTokens, std::uint8_t* out) override;
  // Their rows stand in host memory then.
  void awaitLoads(int layer) override;

 private:
  void makeSlots(const tier::TierOptions& options);
  void catchUp();
  void noteStaging();

  PinnedMemory memory_;
  KvView hostView_{};
  DeviceMemory slots_, tables_, places_, state_;
  KvasirHotRows hot_{};
  double hotBytes_ = 0;
  std::unique_ptr<TieredStaging> staging_;
  Workspace lists_;      // of bringRows: addresses, their starts, workspace
  int callsSinceStaged_ = 0;
  const Event caughtUp_;

  std::mutex mutex_;  // of what follows
  std::vector<std::int32_t> changed_;  // pages whose rows changed beside the slots
  std::vector<std::vector<std::int32_t>> loaded_;  // by layer, pages of loads that ops have not awaited
  double stagingBytes_ = 0, peakStagingBytes_ = 0;
};

}  // namespace kvasir::gpu
