// Which rows or blocks of one layer are hot: keys to slots, a fixed number of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace kvasir::tier {

// What moves in and out depends on the sequence of calls alone. A slot used in the current step never goes. Of the
// others the first without a use since the hand last passed it goes: second chance, Corbato 1968.
// packages/kernels/src/reference/slot-cache.ts says the same in TypeScript; a test compares the two.
class SlotCache {
 public:
  using Key = std::uint32_t;
  using Place = std::int32_t;

  // `places`: zeros of the caller's, one a key; keys that one list asks for together had best lie together.
  SlotCache(int slots, Place* places);

  // Memory for this many slots, without the places.
  static std::size_t bytesFor(int slots) { return static_cast<std::size_t>(slots) * sizeof(Entry); }

  int size() const { return static_cast<int>(entries_.size()); }

  void beginStep() { now_ += 2; }

  // A key that will soon be looked up.
  void expect(Key key) const { __builtin_prefetch(&places_[key]); }

  // The slot of a key, or -1.
  int peek(Key key) const { return places_[key] - 1; }

  // The same, as a use in the current step.
  int find(Key key) {
    const int slot = peek(key);
    if (slot >= 0) entries_[static_cast<std::size_t>(slot)].stamp = now_ | kUsed;
    return slot;
  }

  // A slot for a key that has none: an empty one, or one whose key leaves; -1 if all are used in this step. `left`
  // tells whether another key was there.
  int take(Key key, bool& left);

  // The same, for a key that nobody has asked for yet: no slot that has its second chance loses it.
  int takeGently(Key key, bool& left);

  void drop(int slot);

 private:
  // The step of the last use, twice; odd: used since the hand passed.
  using Stamp = std::uint32_t;
  static constexpr Stamp kUsed = 1;
  static constexpr Key kEmpty = ~Key{0};
  struct Entry {
    Key key = kEmpty;
    Stamp stamp = 0;
  };

  int put(int slot, Key key, bool& left);
  void turn() { hand_ = hand_ + 1 == size() ? 0 : hand_ + 1; }

  std::vector<Entry> entries_;
  Place* places_;  // slot + 1, or 0
  Stamp now_ = 2;
  int hand_ = 0;
  int filled_ = 0;
};

}  // namespace kvasir::tier
