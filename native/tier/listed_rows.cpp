// What decode attention reads: rows in slots first, then the set difference from the lower tier.
#include <algorithm>
#include <chrono>

#include "tiered_arena.h"

namespace kvasir::tier {
namespace {

constexpr std::size_t kLineBytes = 64;

}  // namespace

ListedRows TieredArena::listedRows(Context& context, int layer, const Batch& batch, const RunRows& rows,
                                   int rowsOfSequence) {
  std::lock_guard<std::mutex> lock(mutex_);
  HotRows& hot = *hot_[static_cast<std::size_t>(layer)];
  hot.beginStep();
  if (queue_ != nullptr) queue_->poll();
  const std::size_t lists = static_cast<std::size_t>(batch.numSequences * rowsOfSequence);
  rowStarts_.assign(1, 0);
  keys_.clear();
  needs_.clear();
  rest_.clear();
  leavesOut_ = false;
  listTokens_.assign(lists, 0);
  listAbsent_.assign(lists, 0);
  for (int s = 0; s < batch.numSequences; ++s) {
    listSequence(hot, batch.pages + batch.pageStarts[s], rows, s * rowsOfSequence, rowsOfSequence);
  }
  const bool dense = !rest_.empty();
  if (copiesRows(hot)) copyNeeds(layer, hot);
  else takeSlots(layer, hot);
  awaitRows(context, hot);
  if (!rest_.empty()) {
    ++counts_.overflows;
    stageRest(context, layer, dense);
  } else if (!staging_->empty()) {
    staging_->release();
  }
  if (leavesOut_) closeLists();
  if (keys_.empty()) keys_.push_back(nullptr);
  notePeak();
  return {hotView_, {rowStarts_.data(), nullptr, rows.perQueryHead, keys_.data()}};
}

// Addresses of what is hot, and what is needed else. A sequence that lists more than there are slots would push out all
// that the next step wants: it passes them by.
void TieredArena::listSequence(HotRows& hot, const std::int32_t* pages, const RunRows& rows, int firstList, int lists) {
  std::size_t tokens = 0;
  double units = 0;
  for (int list = firstList; list < firstList + lists; ++list) {
    int page = -1;
    for (int at = rows.rowStarts[list]; at < rows.rowStarts[list + 1]; ++at) {
      tokens += static_cast<std::size_t>(rows.runs[at].len);
      units += rows.runs[at].page != page;
      page = rows.runs[at].page;
    }
  }
  if (!options_.blocks) units = static_cast<double>(tokens);
  const bool fits = units <= hot.numSlots();
  keys_.reserve(keys_.size() + tokens);
  for (int list = firstList; list < firstList + lists; ++list) {
    const int kvHead = (list - firstList) / (lists / shape.numKvHeads);
    if (options_.blocks) listBlocks(hot, pages, rows, list, kvHead, fits);
    else if (fits && copiesRows(hot)) listHotRows(hot, pages, rows, list, kvHead);
    else listRows(hot, pages, rows, list, kvHead, fits);
    rowStarts_.push_back(static_cast<std::int32_t>(keys_.size()));
  }
}

// All runs of a page together.
void TieredArena::listBlocks(HotRows& hot, const std::int32_t* pages, const RunRows& rows, int list, int kvHead,
                             bool fits) {
  const int end = rows.rowStarts[list + 1];
  for (int at = rows.rowStarts[list]; at < end;) {
    const int page = rows.runs[at].page;
    Need need{{pages[page], kvHead, 0}, 0, list, static_cast<int>(keys_.size()), -1};
    for (; at < end && rows.runs[at].page == page; ++at) {
      need.rows |= ((1u << rows.runs[at].len) - 1) << rows.runs[at].first;
    }
    keys_.resize(keys_.size() + static_cast<std::size_t>(need.count()), nullptr);
    if (fits) addNeed(hot, need);
    else rest_.push_back(need);
  }
}

void TieredArena::listRows(HotRows& hot, const std::int32_t* pages, const RunRows& rows, int list, int kvHead,
                           bool fits) {
  for (int at = rows.rowStarts[list]; at < rows.rowStarts[list + 1]; ++at) {
    const KvRun& run = rows.runs[at];
    for (int row = run.first; row < run.first + run.len; ++row) {
      const Need need{{pages[run.page], kvHead, row}, 1u << row, list, static_cast<int>(keys_.size()), -1};
      keys_.push_back(nullptr);
      if (fits) addNeed(hot, need);
      else rest_.push_back(need);
    }
  }
}

// The same where what is found is there: rows in memory, none on its way, none fetched ahead.
void TieredArena::listHotRows(HotRows& hot, const std::int32_t* pages, const RunRows& rows, int list, int kvHead) {
  constexpr int kTogether = 64;
  const int end = rows.rowStarts[list + 1];
  const std::size_t misses = needs_.size(), before = keys_.size();
  for (int at = rows.rowStarts[list]; at < end; ++at) {
    if ((at - rows.rowStarts[list]) % kTogether == 0) {
      for (int next = at; next < std::min(end, at + kTogether); ++next) {
        hot.expect({pages[rows.runs[next].page], kvHead, rows.runs[next].first});
      }
    }
    const KvRun& run = rows.runs[at];
    for (int row = run.first; row < run.first + run.len; ++row) {
      const Unit unit{pages[run.page], kvHead, row};
      const int slot = hot.find(unit);
      if (slot < 0) needs_.push_back({unit, 1u << row, list, static_cast<int>(keys_.size()), -1});
      keys_.push_back(slot < 0 ? nullptr : hot.key(slot, row));
    }
  }
  counts_.misses += static_cast<double>(needs_.size() - misses);
  counts_.hits += static_cast<double>(keys_.size() - before - (needs_.size() - misses));
}

// Rows that lie in memory as they lie in slots.
void TieredArena::copyNeeds(int layer, HotRows& hot) {
  constexpr std::size_t kAhead = 16;
  const KvView& view = *lower_->view();
  const auto keyOf = [&](const Unit& unit) {
    return view.base + static_cast<std::size_t>(unit.page) * view.pageStride +
           static_cast<std::size_t>(layer) * view.layerStride + static_cast<std::size_t>(unit.kvHead) * view.headStride +
           static_cast<std::size_t>(unit.first) * shape.rowBytes();
  };
  for (std::size_t i = 0; i < needs_.size(); ++i) {
    if (i + kAhead < needs_.size()) {
      const std::uint8_t* next = keyOf(needs_[i + kAhead].unit);
      for (std::size_t line = 0; line < shape.rowBytes(); line += kLineBytes) {
        __builtin_prefetch(next + line);
        __builtin_prefetch(next + view.valueStride + line);
      }
    }
    Need& need = needs_[i];
    // Another sequence may have asked for it just before.
    need.slot = hot.peek(need.unit);
    if (need.slot < 0) {
      need.slot = hot.take(need.unit);
      if (need.slot < 0) {
        rest_.push_back(need);
        continue;
      }
      hot.copyRow(need.slot, need.unit, keyOf(need.unit), view.valueStride);
    }
    keys_[static_cast<std::size_t>(need.firstKey)] = hot.key(need.slot, need.unit.first);
  }
  needs_.clear();
}

void TieredArena::addNeed(HotRows& hot, Need need) {
  listTokens_[static_cast<std::size_t>(need.list)] += need.count();
  need.slot = hot.find(need.unit);
  if (need.slot >= 0) {
    if (hot.takeAhead(need.slot)) ++counts_.prefetchHits;
    if (hot.absent(need.slot, need.rows) == 0) {
      ++counts_.hits;
      address(hot, need);
      return;
    }
  }
  ++counts_.misses;
  listAbsent_[static_cast<std::size_t>(need.list)] += need.count();
  needs_.push_back(need);
}

// Gives what is needed its slots and starts to bring it up; leaves out what may be left out. needs_ keeps what must be
// waited for.
void TieredArena::takeSlots(int layer, HotRows& hot) {
  constexpr std::size_t kAhead = 12;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < needs_.size(); ++i) {
    if (i + kAhead < needs_.size()) {
      const Unit& next = needs_[i + kAhead].unit;
      lower_->expect(layer, next.page, next.kvHead, next.first);
      hot.expect(next);
    }
    Need need = needs_[i];
    const std::size_t list = static_cast<std::size_t>(need.list);
    if (need.slot < 0) need.slot = hot.peek(need.unit);
    if (need.slot < 0) need.slot = hot.take(need.unit);
    if (need.slot < 0) {
      rest_.push_back(need);
      continue;
    }
    // At least half of a list has to be there.
    const bool mayDrop = options_.dropsLate && 2 * listAbsent_[list] <= listTokens_[list];
    if (!hot.isComing(need.slot)) hot.bring(need.slot, need.unit, need.rows, !mayDrop);
    if (!hot.isComing(need.slot)) {
      address(hot, need);
    } else if (mayDrop) {
      counts_.dropped += need.count();
      leavesOut_ = true;
    } else {
      needs_[kept++] = need;
    }
  }
  needs_.resize(kept);
  if (queue_ != nullptr) queue_->flush();
}

void TieredArena::awaitRows(Context& context, HotRows& hot) {
  if (needs_.empty()) return;
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  for (const Need& need : needs_) {
    if (context.cancelled()) break;
    hot.finish(need.slot);
    // What was on its way may have been less than this list wants.
    if (hot.absent(need.slot, need.rows) != 0) {
      hot.bring(need.slot, need.unit, need.rows, true);
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
      if (joins) wanted_.back().rows |= need.rows;
      else wanted_.push_back({need.unit.page, need.rows});
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
    std::size_t at = static_cast<std::size_t>(need.firstKey);
    for (unsigned left = need.rows; left != 0; left &= left - 1) {
      keys_[at++] = key + static_cast<std::size_t>(__builtin_ctz(left)) * shape.rowBytes();
    }
    if (lower != nullptr) directParts_ += 2 * need.count();
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
  std::size_t at = static_cast<std::size_t>(need.firstKey);
  for (unsigned left = need.rows; left != 0; left &= left - 1) keys_[at++] = hot.key(need.slot, __builtin_ctz(left));
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
      int slot = hot.peek(unit);
      if (slot >= 0 && (hot.isComing(slot) || hot.absent(slot, 1u << row) == 0)) continue;
      if (slot < 0) slot = hot.take(unit);
      if (slot < 0) break;
      hot.bring(slot, unit, 1u << row, false);
      hot.markAhead(slot);
      ++counts_.prefetched;
    }
  }
  if (queue_ != nullptr) queue_->flush();
}

}  // namespace kvasir::tier
