// Codes of a segment index in device memory, as native/gpu/args/principal_index.h lays them out.
#pragma once

#include <vector>

#include "../../cpu/selection/principal_storage.h"
#include "../../gpu/args/select_runs.h"
#include "device_arena.h"

namespace kvasir::gpu {

class DeviceIndex final : public IndexStorage {
 public:
  DeviceIndex(SessionPtr session, const SegmentIndexShape& shape);

  // Whether the ops take such an index.
  static bool holds(const SegmentIndexShape& shape);
  // The codes of an index that has them on a device; null: it has none there.
  static const DeviceIndex* of(const SegmentIndex& index) { return dynamic_cast<const DeviceIndex*>(&index.storage()); }

  std::unique_ptr<IndexStorage> empty() const override { return std::make_unique<DeviceIndex>(session_, IndexStorage::shape_); }
  std::size_t bytes() const override { return memory_.bytes() + home_.bytes(); }
  void reserve(int segments, int tokens, int usedSegments, int usedTokens) override;
  void copyFrom(const IndexStorage& other, int segments, int tokens) override;
  void encode(Context& context, int worker, int layer, int kvHead, const selection::HeadKeys& keys,
              const std::vector<std::int32_t>& ends, std::size_t first) override;
  void read(int layer, int kvHead, const std::vector<std::int32_t>& ends, float* means, float* deviations, float* levels,
            float* radii) const override;
  const IndexStorage& inHostMemory() const override { return home_; }
  void fetch(const std::vector<std::int32_t>& ends) const override;
  void forget(int segments) override;

  // What SegmentIndex::extend asks for, on the session's stream and past it on return.
  void code(Context& context, DeviceArena& arena, const std::vector<std::int32_t>& pages,
            const std::vector<std::int32_t>& ends, int first);

  // Where selectRuns finds it.
  void describe(KvasirSelectSequence& sequence) const;

 private:
  std::size_t headsBytes(const KvasirIndexLayout& layout) const { return numHeads() * layout.bytes; }
  std::vector<KvasirPiece> piecesOf(const std::uint8_t* from, const KvasirIndexLayout& fromLayout, std::uint8_t* to,
                                    const KvasirIndexLayout& toLayout, int segments, int tokens) const;
  void makeBasis(Context& context, DeviceArena& arena, const std::vector<std::int32_t>& pages,
                 const std::vector<std::int32_t>& ends);

  SessionPtr session_;
  KvasirIndexShape shape_{};  // capacities 0: no memory yet
  KvasirIndexLayout layout_{};
  DeviceMemory memory_;  // [layer][kvHead] heads, then [tokenCapacity] the segment of each token
  // A copy of the first segments, made once somebody asks.
  mutable selection::PrincipalStorage home_;
  mutable int atHome_ = 0;
};

// SegmentIndex::extend over the rows of a device arena: codes are made and kept there where the ops can; else rows come back.
void extendOnDevice(Context& context, SegmentIndex& index, DeviceArena& arena, const std::vector<std::int32_t>& pages,
                    const std::vector<std::int32_t>& ends);

}  // namespace kvasir::gpu
