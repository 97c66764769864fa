// An arena whose rows the host keeps and brings into slots, which device memory mirrors: for rows that the device cannot read
// where they lie.
#pragma once

#include <vector>

#include "../../tier/tiered_arena.h"
#include "device_arena.h"
#include "tiered_staging.h"

namespace kvasir::gpu {

// All that is decided is decided by the tiered arena of a CPU, on the host: its slots are pinned memory, and what changed in
// those that a step reads goes up before attention reads their mirror. Rows that ops compute come down as they are written,
// so that a program waits for its stream once a layer.
class MirroredArena final : public Arena {
 public:
  // Throws a Failure: that of tier::TieredArena or canonicalView(), or too little memory.
  MirroredArena(SessionPtr session, const ArenaShape& shape, const tier::TierOptions& options);
  ~MirroredArena() override;

  // What host code reads and asks.
  tier::TieredArena& host() { return host_; }
  // Strides of slots, at no address.
  const KvasirKvView& deviceView() const { return view_; }

  // For steps, on the session's stream; keys and values are in device memory, all else on the host.
  void store(Context& context, int layer, const float* keys, const float* values, const std::int32_t* slots, int rows);
  // out [rows][2] in device memory, as compareKv.
  void compare(Context& context, int layer, const float* keys, const float* values, const std::int32_t* slots, int rows, float* out);
  // Lets `attend` read the rows of the lists. False: the run is cancelled.
  bool bring(Context& context, const Batch& batch, const RunRows& rows, int rowsOfSequence, KvasirAttendRunsArgs& attend);
  // All rows of the batch; null pages: the run is cancelled.
  StagedRows stage(Context& context, int layer, const Batch& batch);

  const KvView* view() const override { return host_.view(); }
  void write(Context& context, int layer, const float* keys, const float* values, const std::int32_t* slots, int rows) override {
    host_.write(context, layer, keys, values, slots, rows);
  }
  LayerRows layerRows(Context& context, int layer, const Batch& batch, int firstToken) override {
    return host_.layerRows(context, layer, batch, firstToken);
  }
  ListedRows listedRows(Context& context, int layer, const Batch& batch, const RunRows& rows, int rowsOfSequence) override {
    return host_.listedRows(context, layer, batch, rows, rowsOfSequence);
  }
  KeyRows* keyRows(int layer, const std::int32_t* pages) override { return host_.keyRows(layer, pages); }
  bool wantsLikely() const override { return host_.wantsLikely(); }
  void prefetch(int layer, const std::int32_t* pages, const ChosenRuns& chosen) override { host_.prefetch(layer, pages, chosen); }
  void copyPage(int from, int to) override { host_.copyPage(from, to); }
  void readRows(int layer, int kvHead, bool values, const std::int32_t* pages, int start, int end, float* out) override {
    host_.readRows(layer, kvHead, values, pages, start, end, out);
  }
  void gatherKeys(int layer, int kvHead, const std::int32_t* pages, const std::int32_t* indices, int count,
                  std::uint8_t* out) override {
    host_.gatherKeys(layer, kvHead, pages, indices, count, out);
  }

 private:
  // Pinned memory that a copy to the device may still read.
  struct Outgoing {
    explicit Outgoing(const DevicePtr& device) : copied(device) {}
    std::uint8_t* reserve(const DevicePtr& device, std::size_t bytes);
    PinnedMemory memory;
    Event copied;
  };

  const float* fetch(const float* keys, const float* values, std::size_t count);
  void sendSlots(int layer, const std::vector<const std::uint8_t*>& keys);
  const std::uint8_t* sendRest(const std::vector<const std::uint8_t*>& keys);

  SessionPtr session_;
  const KvasirKvView view_;
  PinnedMemory slots_;
  DeviceMemory mirror_;
  tier::TieredArena host_;
  PinnedMemory incoming_;  // new rows
  Outgoing rest_, tiles_[2], differences_;
  Event slotsSent_;
  Workspace restRows_, stagedRows_;
};

}  // namespace kvasir::gpu
