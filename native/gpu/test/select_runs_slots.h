// Slots that hold some of a case's rows; where all rows lie, those are no numbers any more.
#pragma once

#include "select_runs_data.h"

namespace kvasir::gpu::test::select_runs {

class Slots {
 public:
  Slots(Case& c, const Data& d) : cache(d.cache), isTiered_(d.s.slots != Shape::none), blocks_(d.s.slots == Shape::blocks), numKvHeads_(d.s.kvHeads) {
    if (!isTiered_) return;
    const std::size_t rowBytes = 2 * static_cast<std::size_t>(d.s.dim), unitRows = blocks_ ? 16 : 1;
    const int numPages = static_cast<int>(d.cache.size() / d.view.pageStride), numUnits = numPages * d.s.kvHeads * (blocks_ ? 1 : 16);
    const int numHot = d.s.slots == Shape::all ? numUnits : numUnits / 2, numSlots = numHot + 3;
    const std::vector<std::int32_t> units = drawDistinct(c.random, numHot, numUnits), slots = drawDistinct(c.random, numHot, numSlots);
    places_.assign(static_cast<std::size_t>(2 * numUnits), 0);
    const std::size_t layerBytes = kvasirHotLayerBytes(numSlots, blocks_ ? 1 : 0, d.s.dim);
    std::vector<std::uint8_t> rows(2 * layerBytes, 0xFF);
    std::int32_t* const own = places_.data() + kLayer * numUnits;
    for (std::size_t i = 0; i < units.size(); ++i) {
      own[units[i]] = slots[i] + 1;
      const std::size_t slot = static_cast<std::size_t>(slots[i]), group = blocks_ ? slot : slot / 16, at = blocks_ ? 0 : slot % 16;
      const std::size_t first = static_cast<std::size_t>(units[i]) * unitRows, tile = first / 16;
      std::uint8_t* stored = cache.data() + tile / static_cast<std::size_t>(d.s.kvHeads) * d.view.pageStride + kLayer * d.view.layerStride +
                             tile % static_cast<std::size_t>(d.s.kvHeads) * d.view.headStride + first % 16 * rowBytes;
      std::memcpy(rows.data() + kLayer * layerBytes + group * 32 * rowBytes + at * rowBytes, stored, unitRows * rowBytes);
      std::memset(stored, 0xFF, unitRows * rowBytes);
    }
    rowBuffer_ = c.upload(rows);
    placeBuffer_ = c.upload(places_);
    stateBuffer_ = c.upload(std::vector<std::uint8_t>(2 * sizeof(KvasirHotState), 0));
    hot_.rows = rowBuffer_.get();
    hot_.numSlots = numSlots;
    hot_.numUnits = numUnits;
    hot_.blocks = blocks_ ? 1 : 0;
    hot_.places = placeBuffer_.get();
    hot_.state = reinterpret_cast<KvasirHotState*>(stateBuffer_.get());
  }

  const KvasirHotRows& hot() const { return hot_; }

  // Whether every row that a case of exact scores reads beside slots was counted once.
  void checkCount(Case& c, const Data& d) const {
    if (!isTiered_) return;
    std::uint32_t beside = 0;
    for (const Sequence& sequence : d.sequences) {
      for (int kvHead = 0; kvHead < numKvHeads_; ++kvHead) {
        for (int token = 0; token < sequence.numTokens; ++token) beside += sequence.keeps(kvHead, token) && !isHot(sequence, kvHead, token) ? 1 : 0;
      }
    }
    const std::vector<std::uint8_t> bytes = c.download(stateBuffer_);
    KvasirHotState state;
    std::memcpy(&state, bytes.data() + kLayer * sizeof state, sizeof state);
    if (d.s.exact) c.check(state.keysReadSince == beside, "K rows read beside slots are counted");
    else c.check((state.keysReadSince > 0) == (beside > 0), "K rows read beside slots are noticed");
  }

  std::vector<std::uint8_t> cache;  // what is left where all rows lie

 private:
  bool isHot(const Sequence& sequence, int kvHead, int token) const {
    const std::int32_t row = (sequence.pages[static_cast<std::size_t>(token / 16)] * numKvHeads_ + kvHead) * 16 + token % 16;
    return places_[static_cast<std::size_t>(kLayer * hot_.numUnits + (blocks_ ? row / 16 : row))] > 0;
  }

  bool isTiered_, blocks_;
  int numKvHeads_;
  std::vector<std::int32_t> places_;
  Buffer<std::uint8_t> rowBuffer_, stateBuffer_;
  Buffer<std::int32_t> placeBuffer_;
  KvasirHotRows hot_{};
};

}  // namespace kvasir::gpu::test::select_runs
