#include "hot_rows.h"

#include <cstring>

namespace kvasir::tier {
namespace {

unsigned rowsOf(const Unit& unit, bool blocks) { return blocks ? kAllRows : 1u << unit.first; }

}  // namespace

HotRows::HotRows(const ArenaShape& shape, int layer, bool blocks, int slots, std::uint8_t* memory, LowerTier& lower,
                 IoThreads* threads)
    : shape_(shape),
      layer_(layer),
      blocks_(blocks),
      lower_(lower),
      threads_(threads),
      cache_(slots),
      states_(static_cast<std::size_t>(slots)),
      memory_(memory),
      groupBytes_(2 * shape.partBytes()),
      rowBytes_(shape.rowBytes()) {}

HotRows::~HotRows() {
  for (const auto& [slot, job] : coming_) threads_->cancel(*job);
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
  const int slot = cache_.take(keyOf(unit), left);
  if (slot >= 0) {
    stop(slot);
    states_[static_cast<std::size_t>(slot)] = {};
  }
  return slot;
}

unsigned HotRows::absent(int slot, unsigned rows, bool values) {
  if (!settle(slot, false)) return rows;
  const State& state = states_[static_cast<std::size_t>(slot)];
  return rows & ~(values ? state.valid[0] & state.valid[1] : state.valid[0]);
}

void HotRows::bring(int slot, const Unit& unit, unsigned wanted, bool values, bool urgent) {
  State& state = states_[static_cast<std::size_t>(slot)];
  if (isSimple()) {
    Fill row{unit.page, unit.kvHead, {wanted, wanted}, place(slot, unit.first), unit.first};
    lower_.fill(layer_, row);
    state.valid[0] = state.valid[1] = static_cast<std::uint16_t>(wanted);
    movedParts_ += 2;
    return;
  }
  settle(slot, true);
  const unsigned held = lower_.heldRows(layer_, unit.page), all = rowsOf(unit, blocks_);
  Fill fill{unit.page,
            unit.kvHead,
            {all & held & ~state.valid[0], values ? all & held & ~state.valid[1] : 0},
            place(slot, unit.first),
            unit.first};
  for (int part = 0; part < (values ? 2 : 1); ++part) {
    const unsigned never = wanted & ~held & ~state.valid[part];
    for (int row = 0; row < kPageTokens; ++row) {
      if (never >> row & 1)
        std::memset(place(slot, row) + static_cast<std::size_t>(part) * shape_.partBytes(), 0, shape_.rowBytes());
    }
    movedParts_ += __builtin_popcount(fill.rows[part]);
    state.valid[part] = static_cast<std::uint16_t>(state.valid[part] | fill.rows[part] | never);
  }
  if (fill.empty()) return;
  lower_.fill(layer_, fill);
  if (fill.empty()) return;
  std::shared_ptr<IoJob> job = lower_.read(layer_, &fill, 1);
  coming_[slot] = job;
  threads_->submit(std::move(job), urgent);
}

void HotRows::finish(int slot) { settle(slot, true); }

void HotRows::written(const Unit& unit, unsigned rows, bool enter) {
  int slot = cache_.peek(keyOf(unit));
  if (slot < 0 && enter) slot = take(unit);
  if (slot < 0) return;
  settle(slot, true);
  Fill fill{unit.page, unit.kvHead, {rows, rows}, place(slot, unit.first), unit.first};
  lower_.fill(layer_, fill);
  for (std::uint16_t& part : states_[static_cast<std::size_t>(slot)].valid)
    part = static_cast<std::uint16_t>(part | rows);
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

// Nothing comes to the slot any more.
void HotRows::stop(int slot) {
  if (coming_.empty()) return;
  const auto at = coming_.find(slot);
  if (at == coming_.end()) return;
  threads_->cancel(*at->second);
  coming_.erase(at);
}

void HotRows::empty(int slot) {
  stop(slot);
  states_[static_cast<std::size_t>(slot)] = {};
  cache_.drop(slot);
}

// True once nothing is on its way to the slot.
bool HotRows::settle(int slot, bool wait) {
  if (coming_.empty()) return true;
  const auto at = coming_.find(slot);
  if (at == coming_.end()) return true;
  const std::shared_ptr<IoJob> job = at->second;
  if (!wait && !job->done()) return false;
  threads_->finish(*job);
  coming_.erase(at);
  if (!job->failure()) return true;
  empty(slot);
  throw *job->failure();
}

}  // namespace kvasir::tier
