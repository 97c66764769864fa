#include "slot_cache.h"

namespace kvasir::tier {

SlotCache::SlotCache(int slots, Place* places) : entries_(static_cast<std::size_t>(slots)), places_(places) {}

int SlotCache::take(Key key, bool& left) {
  int slot = -1;
  const bool full = filled_ == size();
  // Twice round the hand has met every slot without its second chance.
  for (int tries = 0; tries < 2 * size() && slot < 0; ++tries, turn()) {
    Entry& entry = entries_[static_cast<std::size_t>(hand_)];
    const bool mayGo = full && (entry.stamp & ~kUsed) != now_;
    if (entry.key == kEmpty || (mayGo && (entry.stamp & kUsed) == 0)) slot = hand_;
    else if (mayGo) entry.stamp &= ~kUsed;
  }
  return put(slot, key, left);
}

int SlotCache::takeGently(Key key, bool& left) {
  int slot = -1;
  const bool full = filled_ == size();
  for (int tries = 0; tries < size() && slot < 0; ++tries, turn()) {
    const Entry& entry = entries_[static_cast<std::size_t>(hand_)];
    const bool mayGo = full && (entry.stamp & ~kUsed) != now_ && (entry.stamp & kUsed) == 0;
    if (entry.key == kEmpty || mayGo) slot = hand_;
  }
  return put(slot, key, left);
}

int SlotCache::put(int slot, Key key, bool& left) {
  left = false;
  if (slot < 0) return -1;
  Entry& entry = entries_[static_cast<std::size_t>(slot)];
  if (entry.key != kEmpty) {
    left = true;
    places_[entry.key] = 0;
    --filled_;
  }
  entry = {key, now_};
  ++filled_;
  places_[key] = slot + 1;
  return slot;
}

void SlotCache::drop(int slot) {
  Entry& entry = entries_[static_cast<std::size_t>(slot)];
  if (entry.key == kEmpty) return;
  places_[entry.key] = 0;
  entry.key = kEmpty;
  --filled_;
}

}  // namespace kvasir::tier
