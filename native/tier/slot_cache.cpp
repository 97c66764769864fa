#include "slot_cache.h"

namespace kvasir::tier {
namespace {

// At most half full.
int tableBits(int slots) {
  int bits = 1;
  while ((std::size_t{1} << bits) < 2 * static_cast<std::size_t>(slots)) ++bits;
  return bits;
}

}  // namespace

SlotCache::SlotCache(int slots)
    : entries_(static_cast<std::size_t>(slots)),
      table_(std::size_t{1} << tableBits(slots), Place{0, -1}),
      shift_(64 - tableBits(slots)) {}

std::size_t SlotCache::bytesFor(int slots) {
  return static_cast<std::size_t>(slots) * sizeof(Entry) + (std::size_t{1} << tableBits(slots)) * sizeof(Place);
}

int SlotCache::take(std::uint64_t key, bool& left) {
  left = false;
  int slot = -1;
  // Twice round the hand has met every slot without its second chance.
  for (int tries = 0; tries < 2 * size() && slot < 0; ++tries) {
    Entry& entry = entries_[static_cast<std::size_t>(hand_)];
    if (entry.key == kEmpty || (filled_ == size() && entry.step != now_ && !entry.used)) {
      slot = hand_;
    } else if (filled_ == size() && entry.step != now_) {
      entry.used = false;
    }
    hand_ = hand_ + 1 == size() ? 0 : hand_ + 1;
  }
  if (slot < 0) return -1;
  Entry& entry = entries_[static_cast<std::size_t>(slot)];
  if (entry.key != kEmpty) {
    left = true;
    unlink(entry.key);
    --filled_;
  }
  entry = {key, now_, false};
  ++filled_;
  table_[placeOf(key)] = {static_cast<std::uint32_t>(scatter(key)), slot};
  return slot;
}

void SlotCache::drop(int slot) {
  Entry& entry = entries_[static_cast<std::size_t>(slot)];
  if (entry.key == kEmpty) return;
  unlink(entry.key);
  entry.key = kEmpty;
  --filled_;
}

// Later keys of the same cluster close the gap, so that probing needs no marks of what is gone (Knuth 1973, 6.4 R).
void SlotCache::unlink(std::uint64_t key) {
  const std::size_t mask = table_.size() - 1;
  std::size_t gap = placeOf(key);
  table_[gap].slot = -1;
  for (std::size_t place = (gap + 1) & mask; table_[place].slot >= 0; place = (place + 1) & mask) {
    const std::size_t wanted = home(scatter(entries_[static_cast<std::size_t>(table_[place].slot)].key));
    if (((place - wanted) & mask) < ((place - gap) & mask)) continue;
    table_[gap] = table_[place];
    table_[place].slot = -1;
    gap = place;
  }
}

}  // namespace kvasir::tier
