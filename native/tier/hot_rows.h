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
  // `memory`: memoryFor(slots) bytes of the caller's.
  HotRows(const ArenaShape& shape, int layer, bool blocks, int slots, std::uint8_t* memory, LowerTier& lower,
          IoThreads* threads);
  ~HotRows();
  HotRows(const HotRows&) = delete;
  HotRows& operator=(const HotRows&) = delete;

  // The most slots of a layer that fit in `bytes`, with the tables that find them; 0: none.
  static int slotsWithin(const ArenaShape& shape, bool blocks, double bytes);
  static std::size_t memoryFor(const ArenaShape& shape, bool blocks, int slots);
  static double bytesFor(const ArenaShape& shape, bool blocks, int slots);

  int numSlots() const { return cache_.size(); }
  void beginStep() { cache_.beginStep(); }

  void expect(const Unit& unit) const { cache_.expect(keyOf(unit)); }
  void expectEntry(const Unit& unit) const { cache_.expectEntry(keyOf(unit)); }
  int peek(const Unit& unit) const { return cache_.peek(keyOf(unit)); }
  int find(const Unit& unit) { return cache_.find(keyOf(unit)); }
  // -1: every slot is in use in this step.
  int take(const Unit& unit);

  // Wanted rows (a bit each) that the slot lacks or that are still on their way. Throws the failure of a read that
  // ended.
  unsigned absent(int slot, unsigned rows, bool values);

  // Brings all rows up that the lower tier has of the unit and the slot lacks: keys, or both. Rows that were never
  // written become zero. What is on the medium is on its way when this returns.
  void bring(int slot, const Unit& unit, unsigned wanted, bool values, bool urgent);

  // Something is on its way to the slot.
  bool isComing(int slot) const { return !coming_.empty() && coming_.count(slot) > 0; }

  // Waits for what is on its way to the slot.
  void finish(int slot);

  // Rows have just been written and the lower tier still has them in memory. `enter`: give the unit a slot.
  void written(const Unit& unit, unsigned rows, bool enter);
  void forget(const Unit& unit);

  // What is found is there: nothing is ever on its way, and units are rows.
  bool isSimple() const { return threads_ == nullptr && !blocks_; }

  void markAhead(int slot) { states_[static_cast<std::size_t>(slot)].ahead = true; }
  // Whether it was fetched ahead and is used for the first time.
  bool takeAhead(int slot);

  // K row `row` of the page; its V row lies a hot part behind.
  const std::uint8_t* key(int slot, int row) const { return place(slot, row); }

  double movedParts() const { return movedParts_; }

 private:
  struct State {
    std::uint16_t valid[2] = {0, 0};  // K, V
    bool ahead = false;
  };

  std::uint64_t keyOf(const Unit& unit) const {
    const std::uint64_t page = static_cast<std::uint64_t>(unit.page);
    const std::uint64_t place = blocks_ ? page : page * kPageTokens + static_cast<std::uint64_t>(unit.first);
    return place * static_cast<std::uint64_t>(shape_.numKvHeads) + static_cast<std::uint64_t>(unit.kvHead);
  }
  std::uint8_t* place(int slot, int row) const {
    const std::size_t group = static_cast<std::size_t>(blocks_ ? slot : slot / kPageTokens);
    const std::size_t at = static_cast<std::size_t>(blocks_ ? row : slot % kPageTokens);
    return memory_ + group * groupBytes_ + at * rowBytes_;
  }
  void stop(int slot);
  void empty(int slot);
  bool settle(int slot, bool wait);

  ArenaShape shape_;
  int layer_;
  bool blocks_;
  LowerTier& lower_;
  IoThreads* threads_;
  SlotCache cache_;
  std::vector<State> states_;
  std::unordered_map<int, std::shared_ptr<IoJob>> coming_;  // by slot
  std::uint8_t* memory_;
  std::size_t groupBytes_, rowBytes_;
  double movedParts_ = 0;
};

}  // namespace kvasir::tier
