#include "key_rows.h"

#include <cstring>

namespace kvasir::tier {

KeyRows* TieredArena::keyRows(int layer, const std::int32_t* pages) {
  if (lower_->view() != nullptr) return nullptr;
  std::lock_guard<std::mutex> lock(mutex_);
  hot_[static_cast<std::size_t>(layer)]->beginStep();
  if (queue_ != nullptr) queue_->poll();
  keyReader_ = std::make_unique<Keys>(*this, layer, pages);
  return keyReader_.get();
}

const std::uint8_t* const* TieredArena::keysOf(Context& context, int layer, const std::int32_t* pages, int kvHead,
                                               const std::int32_t* indices, int count) {
  std::lock_guard<std::mutex> lock(mutex_);
  HeadKeys& keys = headKeys_[static_cast<std::size_t>(kvHead)];
  keys.rows.assign(static_cast<std::size_t>(count) + 1, nullptr);
  HotRows& hot = *hot_[static_cast<std::size_t>(layer)];
  if (file_ != nullptr) bringKeys(context, hot, layer, pages, kvHead, indices, count);
  else findKeys(hot, layer, pages, kvHead, indices, count);
  return context.cancelled() ? nullptr : keys.rows.data();
}

// From memory: a hot row where it is, another one copied.
void TieredArena::findKeys(HotRows& hot, int layer, const std::int32_t* pages, int kvHead, const std::int32_t* indices,
                           int count) {
  constexpr int kAhead = 12;
  HeadKeys& keys = headKeys_[static_cast<std::size_t>(kvHead)];
  keys.copies.resize(static_cast<std::size_t>(count) * shape.rowBytes());
  for (int i = 0; i < count; ++i) {
    if (i + kAhead < count) {
      const int page = pages[indices[i + kAhead] / kPageTokens], row = indices[i + kAhead] % kPageTokens;
      hot.expect(unitOf(page, kvHead, row));
      lower_->expect(layer, page, kvHead, row);
    }
    const int page = pages[indices[i] / kPageTokens], row = indices[i] % kPageTokens;
    const int slot = hot.peek(unitOf(page, kvHead, row));
    if (slot >= 0 && hot.absent(slot, 1u << row) == 0) {
      keys.rows[static_cast<std::size_t>(i)] = hot.key(slot, row);
      continue;
    }
    Fill fill{page, kvHead, {1u << row, 0}, keys.copies.data() + static_cast<std::size_t>(i) * shape.rowBytes(), row};
    keys.rows[static_cast<std::size_t>(i)] = fill.to;
    lower_->fill(layer, fill);
    directParts_ += 1;
  }
}

// Blocks into slots, V rows with K rows: they come in the same read, and what is nearly chosen is soon chosen. One head
// may not push out all others: what is beyond its share of the slots is read beside them.
std::vector<TieredArena::KeyBlock> TieredArena::askForKeys(HotRows& hot, const std::int32_t* pages, int kvHead,
                                                           const std::int32_t* indices, int count) {
  const int share = hot.numSlots() / shape.numKvHeads;
  int taken = 0;
  std::vector<KeyBlock> blocks;
  for (int i = 0; i < count;) {
    const int page = indices[i] / kPageTokens;
    KeyBlock block{{pages[page], kvHead, 0}, i, i, 0, -1};
    for (; block.end < count && indices[block.end] / kPageTokens == page; ++block.end)
      block.rows |= 1u << indices[block.end] % kPageTokens;
    block.slot = hot.find(block.unit);
    if (block.slot < 0 && taken < share) {
      block.slot = hot.take(block.unit);
      ++taken;
    }
    if (block.slot >= 0 && !hot.isComing(block.slot) && hot.absent(block.slot, block.rows) != 0)
      hot.bring(block.slot, block.unit, block.rows, true);
    i = block.end;
    blocks.push_back(block);
  }
  return blocks;
}

void TieredArena::expectKeys(int layer, const std::int32_t* pages, int kvHead, const std::int32_t* indices, int count) {
  if (file_ == nullptr) return;
  std::lock_guard<std::mutex> lock(mutex_);
  askForKeys(*hot_[static_cast<std::size_t>(layer)], pages, kvHead, indices, count);
  queue_->flush();
}

void TieredArena::bringKeys(Context& context, HotRows& hot, int layer, const std::int32_t* pages, int kvHead,
                            const std::int32_t* indices, int count) {
  HeadKeys& keys = headKeys_[static_cast<std::size_t>(kvHead)];
  keys.blocks.clear();
  const std::vector<KeyBlock> blocks = askForKeys(hot, pages, kvHead, indices, count);
  std::vector<std::shared_ptr<IoJob>> jobs;
  for (const KeyBlock& block : blocks) {
    if (block.slot >= 0) continue;
    keys.blocks.emplace_back(new std::uint8_t[shape.partBytes()]());
    std::uint8_t* data = keys.blocks.back().get();
    for (int at = block.first; at < block.end; ++at) {
      keys.rows[static_cast<std::size_t>(at)] =
          data + static_cast<std::size_t>(indices[at] % kPageTokens) * shape.rowBytes();
    }
    Fill fill{block.unit.page, kvHead, {block.rows & lower_->heldRows(layer, block.unit.page), 0}, data};
    directParts_ += __builtin_popcount(fill.rows[0]);
    if (!fill.empty()) lower_->fill(layer, fill);
    if (fill.empty()) continue;
    jobs.push_back(lower_->read(layer, &fill, 1));
    queue_->submit(jobs.back(), true);
  }

  std::optional<Failure> failure;
  for (const std::shared_ptr<IoJob>& job : jobs) {
    queue_->finish(*job);
    if (job->failure()) failure = job->failure();
  }
  if (failure) throw *failure;
  for (const KeyBlock& block : blocks) {
    if (block.slot < 0) continue;
    hot.finish(block.slot);
    if (hot.absent(block.slot, block.rows) != 0) {
      hot.bring(block.slot, block.unit, block.rows, true);
      hot.finish(block.slot);
    }
    for (int at = block.first; at < block.end; ++at) {
      keys.rows[static_cast<std::size_t>(at)] = hot.key(block.slot, indices[at] % kPageTokens);
    }
    if (context.cancelled()) return;
  }
}

void TieredArena::gatherKeys(int layer, int kvHead, const std::int32_t* pages, const std::int32_t* indices, int count,
                             std::uint8_t* out) {
  std::lock_guard<std::mutex> lock(mutex_);
  copyKeys(layer, kvHead, pages, indices, count, out);
}

void TieredArena::copyKeys(int layer, int kvHead, const std::int32_t* pages, const std::int32_t* indices, int count,
                           std::uint8_t* out) {
  const std::size_t rowBytes = shape.rowBytes();
  for (int i = 0; i < count; ++i, out += rowBytes) {
    const int page = pages[indices[i] / kPageTokens], row = indices[i] % kPageTokens;
    std::memset(out, 0, rowBytes);
    Fill fill{page, kvHead, {1u << row, 0}, out, row};
    directParts_ += 1;
    readNow(layer, fill);
  }
}

}  // namespace kvasir::tier
