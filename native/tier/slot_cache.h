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

  // The slot of a key, or -1.
  int peek(std::uint64_t key) const;

  // The same, as a use in the current step.
  int find(std::uint64_t key);

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

  std::size_t home(std::uint64_t key) const { return static_cast<std::size_t>(key * 0x9e3779b97f4a7c15u >> shift_); }
  std::size_t placeOf(std::uint64_t key) const;
  void unlink(std::uint64_t key);

  std::vector<Entry> entries_;
  std::vector<std::int32_t> table_;  // open addressing, linear probing; -1: free
  int shift_;
  std::uint32_t now_ = 1;
  int hand_ = 0;
  int filled_ = 0;
};

}  // namespace kvasir::tier
