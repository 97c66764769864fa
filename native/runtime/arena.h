// The KV cache of all sequences as ops find it: rows go in through the arena and are read through what it hands out.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kvasir/attention.h"
#include "kvasir/kv_transfer.h"
#include "memory.h"

namespace kvasir {

struct ArenaShape {
  int numLayers;
  int numKvHeads;
  int headDim;
  int capacityPages;
  KvType type;

  std::size_t rowBytes() const { return static_cast<std::size_t>(headDim) * (type == KvType::f16 ? 2 : 4); }
  std::size_t partBytes() const { return kPageTokens * rowBytes(); }  // 16 K rows, or 16 V rows, of one head
  std::size_t tileBytes() const { return 2 * partBytes() * static_cast<std::size_t>(numKvHeads); }  // a page of a layer
};

// Rows of one layer of a batch; the batch's pages are those of the view.
struct LayerRows {
  KvView view;
  Batch batch;
};

// The rows of run lists; `rows` addresses them by the view's pages or one by one.
struct ListedRows {
  KvView view;
  RunRows rows;
};

// What is handed out holds until the next call for another layer, and no longer than the op.
class Arena {
 public:
  const ArenaShape shape;

  explicit Arena(const ArenaShape& s) : shape(s) {}
  virtual ~Arena() = default;

  // All rows by address; null for an arena that does not keep them so.
  virtual const KvView* view() const = 0;

  // Where rows may be written by address; null: through write() alone.
  virtual const KvView* writable() const { return nullptr; }

  // As writeKv.
  virtual void write(Context& context, int layer, const float* keys, const float* values, const std::int32_t* slots,
                     int rows) = 0;

  // Rows [firstToken, context) of each sequence.
  virtual LayerRows layerRows(Context& context, int layer, const Batch& batch, int firstToken) = 0;

  // `rows` holds rowsOfSequence rows a sequence.
  virtual ListedRows listedRows(Context& context, int layer, const Batch& batch, const RunRows& rows,
                                int rowsOfSequence) = 0;

  // Where a selector reads K rows, until the next selection; null: through view().
  virtual KeyRows* keyRows(int layer, const std::int32_t* pages) = 0;

  // Whether likely rows (ChosenRuns) are of use: then prefetch() is told of them after listedRows.
  virtual bool wantsLikely() const = 0;
  virtual void prefetch(int layer, const std::int32_t* pages, const ChosenRuns& chosen) = 0;

  virtual void copyPage(int from, int to) = 0;

  // As readKv.
  virtual void readRows(int layer, int kvHead, bool values, const std::int32_t* pages, int start, int end,
                        float* out) = 0;

  // As adoptRows and exportRows of transfer.h, which are what an arena in host memory does.
  virtual void adopt(Context& context, int layer, const std::uint8_t* source, int sourceTokens,
                     const std::int32_t* rowsOf, const std::int32_t* slots, int rows, const KeyTurns* turns);
  virtual void exportTo(Context& context, int layer, const std::int32_t* pages, int numTokens, std::uint8_t* out);

  // Whether adopt() runs on a thread beside the executor's. Then each of its calls has been announced on the executor's
  // thread, which goes on at once, and awaits the loads of a layer before it does anything else with its rows.
  virtual bool loadsBeside() const { return false; }
  virtual void announceLoad(int /*layer*/) {}
  virtual void awaitLoads(int /*layer*/) {}

  // out [count][headDim] in the arena's type: the K rows at `indices`.
  virtual void gatherKeys(int layer, int kvHead, const std::int32_t* pages, const std::int32_t* indices, int count,
                          std::uint8_t* out) = 0;
};

// Canonical pages in memory, reserved for the capacity and taken from the system as rows are written.
class PlainArena final : public Arena {
 public:
  explicit PlainArena(const ArenaShape& shape);

  const KvView* view() const override { return &view_; }
  const KvView* writable() const override { return &view_; }
  void write(Context& context, int layer, const float* keys, const float* values, const std::int32_t* slots,
             int rows) override {
    writeKv(context, view_, layer, keys, values, slots, rows);
  }
  LayerRows layerRows(Context&, int, const Batch& batch, int) override { return {view_, batch}; }
  ListedRows listedRows(Context&, int, const Batch&, const RunRows& rows, int) override { return {view_, rows}; }
  KeyRows* keyRows(int, const std::int32_t*) override { return nullptr; }
  bool wantsLikely() const override { return false; }
  void prefetch(int, const std::int32_t*, const ChosenRuns&) override {}
  void copyPage(int from, int to) override;
  void readRows(int layer, int kvHead, bool values, const std::int32_t* pages, int start, int end,
                float* out) override {
    readKv(view_, layer, kvHead, values, pages, start, end, out);
  }
  void gatherKeys(int layer, int kvHead, const std::int32_t* pages, const std::int32_t* indices, int count,
                  std::uint8_t* out) override;

 private:
  Memory memory_;
  KvView view_;
};

// out [count][headDim] in the view's type: the K rows at `indices`.
void gatherKeyRows(const KvView& view, int layer, int kvHead, const std::int32_t* pages, const std::int32_t* indices, int count,
                   std::uint8_t* out);

// Throws std::bad_alloc where `count` pieces of `bytes` are more than addresses can reach.
std::size_t addressable(double count, std::size_t bytes);

}  // namespace kvasir
