// Canonical pages in device memory.
#pragma once

#include <vector>

#include "../arena.h"
#include "layer_loads.h"
#include "row_reader.h"
#include "session.h"

namespace kvasir::gpu {

// Strides of canonical pages, at no address yet. Throws a Failure where a row is not whole 16 bytes.
KvasirKvView canonicalView(const ArenaShape& shape);

// Device memory is taken whole when the arena is made. Ops of device programs find the rows by deviceView(); what the host
// asks for comes row by row.
class DeviceArena : public Arena {
 public:
  // Throws a Failure: that of canonicalView(), or too little memory.
  DeviceArena(SessionPtr session, const ArenaShape& shape);
  ~DeviceArena() override;

  const KvasirKvView& deviceView() const { return view_; }
  const SessionPtr& session() const { return session_; }

  const KvView* view() const override { return nullptr; }
  void write(Context& context, int layer, const float* keys, const float* values, const std::int32_t* slots,
             int rows) override;
  LayerRows layerRows(Context& context, int layer, const Batch& batch, int firstToken) override;
  ListedRows listedRows(Context& context, int layer, const Batch& batch, const RunRows& rows, int rowsOfSequence) override;
  KeyRows* keyRows(int layer, const std::int32_t* pages) override;
  bool wantsLikely() const override { return false; }
  void prefetch(int, const std::int32_t*, const ChosenRuns&) override {}
  void copyPage(int from, int to) override;
  void readRows(int layer, int kvHead, bool values, const std::int32_t* pages, int start, int end, float* out) override;
  void gatherKeys(int layer, int kvHead, const std::int32_t* pages, const std::int32_t* indices, int count,
                  std::uint8_t* out) override;
  void adopt(Context& context, int layer, const std::uint8_t* source, int sourceTokens, const std::int32_t* rowsOf,
             const std::int32_t* slots, int rows, const KeyTurns* turns) override;
  void exportTo(Context& context, int layer, const std::int32_t* pages, int numTokens, std::uint8_t* out) override;
  bool loadsBeside() const override { return true; }
  void announceLoad(int layer) override { loads_.announce(layer, session_->stream); }
  void awaitLoads(int layer) override { loads_.await(layer, session_->stream); }

 protected:
  // Of rows that lie elsewhere: whoever derives says where.
  struct Elsewhere {};
  DeviceArena(SessionPtr session, const ArenaShape& shape, Elsewhere);

  std::size_t bytesOfAll() const { return addressable(shape.capacityPages, view_.pageStride); }

  SessionPtr session_;
  KvasirKvView view_{};
  RowReader reader_;

 private:
  class Keys;

  struct Moves;
  Moves movesOf(const std::int32_t* rowsOf, const std::int32_t* slots, int rows, const KeyTurns* turns);
  void launchLoad(Context& context, int layer, const KvView& from, const Moves& moves, const KeyTurns* turns);
  const std::uint8_t* rowAddress(int layer, int kvHead, bool values, int page, int row) const;

  DeviceMemory memory_;
  LayerLoads loads_;
  std::vector<std::int32_t> lastOfSlot_;  // of loads: the last row that goes to a slot
  std::unique_ptr<Keys> keys_;
};

}  // namespace kvasir::gpu
