// What decode attention reads: rows in slots first, then the set difference from the lower tier.
#include <algorithm>
#include <chrono>

#include "tiered_arena.h"

namespace kvasir::tier {

ListedRows TieredArena::listedRows(Context& context, int layer, const Batch& batch, const RunRows& rows,
                                   int rowsOfSequence) {
  std::lock_guard<std::mutex> lock(mutex_);
  HotRows& hot = *hot_[static_cast<std::size_t>(layer)];
  hot.beginStep();
  const std::size_t lists = static_cast<std::size_t>(batch.numSequences * rowsOfSequence);
  rowStarts_.assign(1, 0);
  keys_.clear();
  needs_.clear();
  rest_.clear();
  listTokens_.assign(lists, 0);
  listAbsent_.assign(lists, 0);
  for (int s = 0; s < batch.numSequences; ++s) {
    listSequence(hot, batch.pages + batch.pageStarts[s], rows, s * rowsOfSequence, rowsOfSequence);
  }
  const bool dense = !rest_.empty();
  takeSlots(hot);
  awaitRows(context, hot);
  if (!rest_.empty()) {
    ++counts_.overflows;
    stageRest(context, layer, dense);
  } else if (!staging_->empty()) {
    staging_->release();
  }
  closeLists();
  notePeak();
  return {hotView_, {rowStarts_.data(), nullptr, rows.perQueryHead, keys_.data()}};
}

// Addresses of what is hot, and what is needed else. A sequence that lists more than there are slots would push out all
// that the next step wants: it passes them by.
void TieredArena::listSequence(HotRows& hot, const std::int32_t* pages, const RunRows& rows, int firstList, int lists) {
  double units = 0;
  for (int run = rows.rowStarts[firstList]; run < rows.rowStarts[firstList + lists]; ++run) {
    units += options_.blocks ? 1 : rows.runs[run].len;
  }
  const bool fits = units <= hot.numSlots();
  for (int list = firstList; list < firstList + lists; ++list) {
    const int kvHead = (list - firstList) / (lists / shape.numKvHeads);
    for (int at = rows.rowStarts[list]; at < rows.rowStarts[list + 1]; ++at) {
      const KvRun& run = rows.runs[at];
      const int page = pages[run.page], step = options_.blocks ? run.len : 1;
      for (int row = run.first; row < run.first + run.len; row += step) {
        const Need need{unitOf(page, kvHead, row), row, step, list, static_cast<int>(keys_.size()), -1};
        keys_.resize(keys_.size() + static_cast<std::size_t>(step), nullptr);
        if (fits) addNeed(hot, need);
        else rest_.push_back(need);
      }
    }
    rowStarts_.push_back(static_cast<std::int32_t>(keys_.size()));
  }
}

void TieredArena::addNeed(HotRows& hot, Need need) {
  listTokens_[static_cast<std::size_t>(need.list)] += need.count;
  need.slot = hot.find(need.unit);
  if (need.slot >= 0) {
    if (hot.takeAhead(need.slot)) ++counts_.prefetchHits;
    if (hot.absent(need.slot, need.rows(), true) == 0) {
      ++counts_.hits;
      address(hot, need);
      return;
    }
  }
  ++counts_.misses;
  listAbsent_[static_cast<std::size_t>(need.list)] += need.count;
  needs_.push_back(need);
}

// Gives what is needed its slots and starts to bring it up; leaves out what may be left out. needs_ keeps what must be
// waited for.
void TieredArena::takeSlots(HotRows& hot) {
  std::size_t kept = 0;
  for (Need& need : needs_) {
    const std::size_t list = static_cast<std::size_t>(need.list);
    if (need.slot < 0) need.slot = hot.peek(need.unit);
    if (need.slot < 0) need.slot = hot.take(need.unit);
    if (need.slot < 0) {
      rest_.push_back(need);
      continue;
    }
    // At least half of a list has to be there.
    const bool mayDrop = options_.dropsLate && 2 * listAbsent_[list] <= listTokens_[list];
    if (!hot.isComing(need.slot)) hot.bring(need.slot, need.unit, need.rows(), true, !mayDrop);
    if (!hot.isComing(need.slot)) {
      address(hot, need);
    } else if (mayDrop) {
      counts_.dropped += need.count;
    } else {
      needs_[kept++] = need;
    }
  }
  needs_.resize(kept);
}

void TieredArena::awaitRows(Context& context, HotRows& hot) {
  if (needs_.empty()) return;
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  for (const Need& need : needs_) {
    if (context.cancelled()) break;
    hot.finish(need.slot);
    // What was on its way may have been less than this list wants.
    if (hot.absent(need.slot, need.rows(), true) != 0) {
      hot.bring(need.slot, need.unit, need.rows(), true, true);
      hot.finish(need.slot);
    }
    address(hot, need);
  }
  ++counts_.waits;
  counts_.waitMs += std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

void TieredArena::stageRest(Context& context, int layer, bool dense) {
  const KvView* lower = lower_->view();
  const double before = staging_->movedParts();
  if (lower == nullptr) {
    wanted_.clear();
    for (const Need& need : rest_) {
      const bool joins = !wanted_.empty() && wanted_.back().page == need.unit.page;
      if (joins) wanted_.back().rows |= need.rows();
      else wanted_.push_back({need.unit.page, need.rows()});
    }
    staging_->bring(context, layer, wanted_, true);
    if (context.cancelled()) return;
  }
  const KvView& view = lower != nullptr ? *lower : staging_->view();
  for (const Need& need : rest_) {
    const int page = lower != nullptr ? need.unit.page : staging_->tileOf(need.unit.page);
    const std::uint8_t* key = view.base + static_cast<std::size_t>(page) * view.pageStride +
                              static_cast<std::size_t>(layer) * view.layerStride +
                              static_cast<std::size_t>(need.unit.kvHead) * view.headStride;
    for (int i = 0; i < need.count; ++i) {
      keys_[static_cast<std::size_t>(need.firstKey + i)] =
          key + static_cast<std::size_t>(need.row + i) * shape.rowBytes();
    }
    if (lower != nullptr) directParts_ += 2 * need.count;
  }
  directParts_ += staging_->movedParts() - before;
  if (lower != nullptr || !dense) return;
  // A step that reads everything does so in the next layer too: pages that are full are not written meanwhile.
  const auto open = [&](const PageRows& want) {
    return layer + 1 >= shape.numLayers || lower_->mediumRows(layer + 1, want.page) != kAllRows;
  };
  wanted_.erase(std::remove_if(wanted_.begin(), wanted_.end(), open), wanted_.end());
  if (!wanted_.empty()) staging_->ahead(layer + 1, wanted_);
}

void TieredArena::address(const HotRows& hot, const Need& need) {
  for (int i = 0; i < need.count; ++i) {
    keys_[static_cast<std::size_t>(need.firstKey + i)] = hot.key(need.slot, need.row + i);
  }
}

// Closes the gaps of what was left out.
void TieredArena::closeLists() {
  std::size_t to = 0;
  std::int32_t from = 0;
  for (std::size_t list = 1; list < rowStarts_.size(); ++list) {
    const std::int32_t end = rowStarts_[list];
    for (; from < end; ++from) {
      if (keys_[static_cast<std::size_t>(from)] != nullptr) keys_[to++] = keys_[static_cast<std::size_t>(from)];
    }
    rowStarts_[list] = static_cast<std::int32_t>(to);
  }
  keys_.resize(to);
  if (keys_.empty()) keys_.push_back(nullptr);
}

void TieredArena::prefetch(int layer, const std::int32_t* pages, const ChosenRuns& chosen) {
  if (chosen.likelyStarts.size() != static_cast<std::size_t>(shape.numKvHeads) + 1) return;
  std::lock_guard<std::mutex> lock(mutex_);
  HotRows& hot = *hot_[static_cast<std::size_t>(layer)];
  for (int head = 0; head < shape.numKvHeads; ++head) {
    for (int i = chosen.likelyStarts[static_cast<std::size_t>(head)];
         i < chosen.likelyStarts[static_cast<std::size_t>(head) + 1]; ++i) {
      const int index = chosen.likely[static_cast<std::size_t>(i)], row = index % kPageTokens;
      const Unit unit = unitOf(pages[index / kPageTokens], head, row);
      if (hot.peek(unit) >= 0) continue;
      const int slot = hot.take(unit);
      if (slot < 0) return;
      hot.bring(slot, unit, 1u << row, true, false);
      hot.markAhead(slot);
      ++counts_.prefetched;
    }
  }
}

}  // namespace kvasir::tier
