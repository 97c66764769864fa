// The hot rows of one layer: slots of one row, or of one block of 16, of one KV head.
#pragma once

#include <unordered_map>
#include <vector>

#include "lower_tier.h"
#include "slot_cache.h"

namespace kvasir::tier {

// What a slot can hold: rows of a page of one KV head; `first` is the row of a slot of one row, 0 for a block.
struct Unit {
  int page;
  int kvHead;
  int first;
};

class HotRows {
 public:
  // Memory of the caller's: memoryFor(slots) bytes, and unitsOf() zeros for the places.
  HotRows(const ArenaShape& shape, int layer, bool blocks, int slots, std::uint8_t* memory, SlotCache::Place* places,
          LowerTier& lower, IoQueue* queue);
  ~HotRows();
  HotRows(const HotRows&) = delete;
  HotRows& operator=(const HotRows&) = delete;

  // The most slots of a layer that fit in `bytes`, with the tables that find them; 0: none.
  static int slotsWithin(const ArenaShape& shape, bool blocks, double bytes);
  static std::size_t memoryFor(const ArenaShape& shape, bool blocks, int slots);
  static double bytesFor(const ArenaShape& shape, bool blocks, int slots);

  // What can be hot of one layer.
  static double unitsOf(const ArenaShape& shape, bool blocks) {
    return static_cast<double>(shape.capacityPages) * shape.numKvHeads * (blocks ? 1 : kPageTokens);
  }

  int numSlots() const { return cache_.size(); }
  void beginStep() { cache_.beginStep(); }

  void expect(const Unit& unit) const { cache_.expect(keyOf(unit)); }
  int peek(const Unit& unit) const { return cache_.peek(keyOf(unit)); }
  int find(const Unit& unit) { return cache_.find(keyOf(unit)); }
  // -1: every slot is in use in this step.
  int take(const Unit& unit);

  // Wanted rows (a bit each) that the slot lacks or that are still on their way. Throws the failure of a read that
  // ended.
  unsigned absent(int slot, unsigned rows);

  // Brings all rows up that the lower tier has of the unit and the slot lacks, K and V. Rows that were never written
  // become zero. What is on the medium is on its way when this returns.
  void bring(int slot, const Unit& unit, unsigned wanted, bool urgent);

  // The same for one row that lies in memory as it lies in a slot.
  void copyRow(int slot, const Unit& unit, const std::uint8_t* key, std::size_t valueStride);

  // Something is on its way to the slot.
  bool isComing(int slot) const { return !coming_.empty() && coming_.count(slot) > 0; }

  // Waits for what is on its way to the slot.
  void finish(int slot);

  // Rows have just been written and the lower tier still has them in memory: they get a slot, those of a prompt only
  // where nothing goes that was used again.
  void written(const Unit& unit, unsigned rows, bool ofPrompt);
  void forget(const Unit& unit);

  // What is found is there: nothing is ever on its way, and units are rows.
  bool isSimple() const { return queue_ == nullptr && !blocks_; }

  void markAhead(int slot) { states_[static_cast<std::size_t>(slot)].ahead = true; }
  // Whether it was fetched ahead and is used for the first time.
  bool takeAhead(int slot);

  // K rows of a group of 16, a bit each, and the V rows a hot part behind them.
  struct Changed {
    const std::uint8_t* group;
    unsigned rows;
  };

  // From now on what changes in slots is noted, for memory that follows them.
  void follow() { changed_.assign(states_.size(), 0); }
  // What changed in the slot of this K row since it was last asked for.
  Changed takeChanged(const std::uint8_t* key);
  // Whoever asks next is told of all rows.
  void changeAll();

  // K row `row` of the page; its V row lies a hot part behind.
  const std::uint8_t* key(int slot, int row) const { return place(slot, row); }

  double movedParts() const { return movedParts_; }

 private:
  struct State {
    std::uint16_t valid = 0;  // K and V rows, a bit each
    bool ahead = false;
  };

  SlotCache::Key keyOf(const Unit& unit) const {
    const SlotCache::Key block = static_cast<SlotCache::Key>(unit.page) *
                                     static_cast<SlotCache::Key>(shape_.numKvHeads) +
                                 static_cast<SlotCache::Key>(unit.kvHead);
    return blocks_ ? block : block * kPageTokens + static_cast<SlotCache::Key>(unit.first);
  }
  std::uint8_t* place(int slot, int row) const {
    const std::size_t group = static_cast<std::size_t>(blocks_ ? slot : slot / kPageTokens);
    const std::size_t at = static_cast<std::size_t>(blocks_ ? row : slot % kPageTokens);
    return memory_ + group * groupBytes_ + at * rowBytes_;
  }
  int prepare(int slot);
  void stop(int slot);
  void empty(int slot);
  void noteChange(int slot, unsigned rows) {
    if (!changed_.empty()) changed_[static_cast<std::size_t>(slot)] |= static_cast<std::uint16_t>(rows);
  }
  void forgetRows(int slot);
  bool settle(int slot, bool wait);

  ArenaShape shape_;
  int layer_;
  bool blocks_;
  LowerTier& lower_;
  IoQueue* queue_;
  SlotCache cache_;
  std::vector<State> states_;
  std::vector<std::uint16_t> changed_;  // by slot, bits as in State::valid; empty: nobody follows
  std::unordered_map<int, std::shared_ptr<IoJob>> coming_;  // by slot
  std::uint8_t* memory_;
  std::size_t groupBytes_, rowBytes_;
  double movedParts_ = 0;
};

}  // namespace kvasir::tier
