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
  explicit SlotCache(int slots);

  // Memory for this many slots.
  static std::size_t bytesFor(int slots);

  int size() const { return static_cast<int>(entries_.size()); }
  std::uint64_t keyOf(int slot) const { return entries_[static_cast<std::size_t>(slot)].key; }

  void beginStep() { ++now_; }

  // A key that will soon be looked up: first this for many keys, then the other, so that the lookups wait for memory
  // together and not one after the other.
  void expect(std::uint64_t key) const { __builtin_prefetch(&table_[home(scatter(key))]); }
  void expectEntry(std::uint64_t key) const {
    const std::int32_t slot = table_[home(scatter(key))].slot;
    __builtin_prefetch(&entries_[static_cast<std::size_t>(slot < 0 ? 0 : slot)], 1);
  }

  // The slot of a key, or -1.
  int peek(std::uint64_t key) const { return table_[placeOf(key)].slot; }

  // The same, as a use in the current step.
  int find(std::uint64_t key) {
    const int slot = peek(key);
    if (slot < 0) return -1;
    Entry& entry = entries_[static_cast<std::size_t>(slot)];
    entry.step = now_;
    entry.used = true;
    return slot;
  }

  // A slot for a key that has none: an empty one, or one whose key leaves; -1 if all are used in this step. `left`
  // tells whether another key was there.
  int take(std::uint64_t key, bool& left);

  void drop(int slot);

 private:
  struct Entry {
    std::uint64_t key = kEmpty;
    std::uint32_t step = 0;
    bool used = false;
  };
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};

  // The tag tells nearly all keys apart without a look at the entry, which may be far away in memory.
  struct Place {
    std::uint32_t tag;
    std::int32_t slot;  // -1: free
  };

  static std::uint64_t scatter(std::uint64_t key) { return key * 0x9e3779b97f4a7c15u; }
  std::size_t home(std::uint64_t scattered) const { return static_cast<std::size_t>(scattered >> shift_); }

  // Where the key stands in the table, or the free place where it would.
  std::size_t placeOf(std::uint64_t key) const {
    const std::size_t mask = table_.size() - 1;
    const std::uint64_t scattered = scatter(key);
    const std::uint32_t tag = static_cast<std::uint32_t>(scattered);
    std::size_t place = home(scattered);
    while (table_[place].slot >= 0 &&
           (table_[place].tag != tag || entries_[static_cast<std::size_t>(table_[place].slot)].key != key)) {
      place = (place + 1) & mask;
    }
    return place;
  }
  void unlink(std::uint64_t key);

  std::vector<Entry> entries_;
  std::vector<Place> table_;  // open addressing, linear probing
  int shift_;
  std::uint32_t now_ = 1;
  int hand_ = 0;
  int filled_ = 0;
};

}  // namespace kvasir::tier
