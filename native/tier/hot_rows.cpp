#include "hot_rows.h"

#include <cstring>

namespace kvasir::tier {
namespace {

// Rows are short: a call of memcpy costs more than they do.
inline void copyBytes(const std::uint8_t* from, std::size_t bytes, std::uint8_t* to) {
  constexpr std::size_t kLine = 64;
  for (; bytes >= kLine; bytes -= kLine, from += kLine, to += kLine) std::memcpy(to, from, kLine);
  if (bytes > 0) std::memcpy(to, from, bytes);
}

unsigned rowsOf(const Unit& unit, bool blocks) { return blocks ? kAllRows : 1u << unit.first; }

}  // namespace

HotRows::HotRows(const ArenaShape& shape, int layer, bool blocks, int slots, std::uint8_t* memory,
                 SlotCache::Place* places, LowerTier& lower, IoQueue* queue)
    : shape_(shape),
      layer_(layer),
      blocks_(blocks),
      lower_(lower),
      queue_(queue),
      cache_(slots, places),
      states_(static_cast<std::size_t>(slots)),
      memory_(memory),
      groupBytes_(2 * shape.partBytes()),
      rowBytes_(shape.rowBytes()) {}

HotRows::~HotRows() {
  for (const auto& [slot, job] : coming_) queue_->cancel(*job);
}

// Slots of one row stand in groups of 16, K rows before V rows: the same strides as a block.
std::size_t HotRows::memoryFor(const ArenaShape& shape, bool blocks, int slots) {
  const std::size_t groups = static_cast<std::size_t>(blocks ? slots : (slots + kPageTokens - 1) / kPageTokens);
  return groups * 2 * shape.partBytes();
}

double HotRows::bytesFor(const ArenaShape& shape, bool blocks, int slots) {
  return static_cast<double>(memoryFor(shape, blocks, slots) + SlotCache::bytesFor(slots) +
                             static_cast<std::size_t>(slots) * sizeof(State));
}

int HotRows::slotsWithin(const ArenaShape& shape, bool blocks, double bytes) {
  const double most = bytes / static_cast<double>(shape.rowBytes());
  int low = 0, high = most < 1e9 ? static_cast<int>(most) : 1000000000;
  while (low < high) {
    const int middle = low + (high - low + 1) / 2;
    if (bytesFor(shape, blocks, middle) <= bytes) low = middle;
    else high = middle - 1;
  }
  return low;
}

int HotRows::take(const Unit& unit) {
  bool left;
  return prepare(cache_.take(keyOf(unit), left));
}

int HotRows::prepare(int slot) {
  if (slot < 0) return slot;
  stop(slot);
  forgetRows(slot);
  return slot;
}

void HotRows::forgetRows(int slot) {
  states_[static_cast<std::size_t>(slot)] = {};
  if (!changed_.empty()) changed_[static_cast<std::size_t>(slot)] = 0;
}

unsigned HotRows::absent(int slot, unsigned rows) {
  if (!settle(slot, false)) return rows;
  return rows & ~unsigned{states_[static_cast<std::size_t>(slot)].valid};
}

void HotRows::copyRow(int slot, const Unit& unit, const std::uint8_t* key, std::size_t valueStride) {
  std::uint8_t* to = place(slot, unit.first);
  copyBytes(key, rowBytes_, to);
  copyBytes(key + valueStride, rowBytes_, to + shape_.partBytes());
  states_[static_cast<std::size_t>(slot)].valid = static_cast<std::uint16_t>(1u << unit.first);
  noteChange(slot, 1u << unit.first);
  movedParts_ += 2;
}

void HotRows::bring(int slot, const Unit& unit, unsigned wanted, bool urgent) {
  settle(slot, true);
  State& state = states_[static_cast<std::size_t>(slot)];
  const unsigned held = lower_.heldRows(layer_, unit.page), lacking = rowsOf(unit, blocks_) & ~unsigned{state.valid};
  const unsigned there = lacking & held, never = wanted & lacking & ~held;
  for (unsigned left = never; left != 0; left &= left - 1) {
    std::uint8_t* row = place(slot, __builtin_ctz(left));
    std::memset(row, 0, rowBytes_);
    std::memset(row + shape_.partBytes(), 0, rowBytes_);
  }
  movedParts_ += 2 * __builtin_popcount(there);
  state.valid = static_cast<std::uint16_t>(state.valid | there | never);
  noteChange(slot, there | never);
  if (there == 0) return;
  Fill fill{unit.page, unit.kvHead, {there, there}, place(slot, unit.first), unit.first};
  lower_.fill(layer_, fill);
  if (fill.empty()) return;
  std::shared_ptr<IoJob> job = lower_.read(layer_, &fill, 1);
  coming_[slot] = job;
  queue_->submit(std::move(job), urgent);
}

void HotRows::finish(int slot) { settle(slot, true); }

void HotRows::written(const Unit& unit, unsigned rows, bool ofPrompt) {
  int slot = cache_.peek(keyOf(unit));
  if (slot < 0) {
    bool left;
    cache_.beginStep();
    slot = prepare(ofPrompt ? cache_.takeGently(keyOf(unit), left) : cache_.take(keyOf(unit), left));
  }
  if (slot < 0) return;
  settle(slot, true);
  Fill fill{unit.page, unit.kvHead, {rows, rows}, place(slot, unit.first), unit.first};
  lower_.fill(layer_, fill);
  State& state = states_[static_cast<std::size_t>(slot)];
  state.valid = static_cast<std::uint16_t>(state.valid | rows);
  noteChange(slot, rows);
}

void HotRows::forget(const Unit& unit) {
  const int slot = cache_.peek(keyOf(unit));
  if (slot >= 0) empty(slot);
}

bool HotRows::takeAhead(int slot) {
  State& state = states_[static_cast<std::size_t>(slot)];
  const bool was = state.ahead;
  state.ahead = false;
  return was;
}

HotRows::Changed HotRows::takeChanged(const std::uint8_t* key) {
  const std::size_t offset = static_cast<std::size_t>(key - memory_), group = offset / groupBytes_;
  const std::size_t row = offset % groupBytes_ / rowBytes_, slot = blocks_ ? group : group * kPageTokens + row;
  const unsigned rows = changed_[slot];
  // What is on its way changes rows yet.
  if (!isComing(static_cast<int>(slot))) changed_[slot] = 0;
  return {memory_ + group * groupBytes_, blocks_ || rows == 0 ? rows : 1u << row};
}

void HotRows::changeAll() {
  for (std::size_t slot = 0; slot < states_.size(); ++slot) changed_[slot] = states_[slot].valid;
}

// Nothing comes to the slot any more.
void HotRows::stop(int slot) {
  if (coming_.empty()) return;
  const auto at = coming_.find(slot);
  if (at == coming_.end()) return;
  queue_->cancel(*at->second);
  coming_.erase(at);
}

void HotRows::empty(int slot) {
  stop(slot);
  forgetRows(slot);
  cache_.drop(slot);
}

// True once nothing is on its way to the slot.
bool HotRows::settle(int slot, bool wait) {
  if (coming_.empty()) return true;
  const auto at = coming_.find(slot);
  if (at == coming_.end()) return true;
  const std::shared_ptr<IoJob> job = at->second;
  if (!wait && !job->done()) return false;
  queue_->finish(*job);
  coming_.erase(at);
  if (!job->failure()) return true;
  empty(slot);
  throw *job->failure();
}

}  // namespace kvasir::tier
