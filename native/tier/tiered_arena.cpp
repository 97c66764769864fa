#include "tiered_arena.h"

#include <algorithm>
#include <cstring>

#include "../cpu/simd/half.h"
#include "key_rows.h"

namespace kvasir::tier {
namespace {

int pagesOf(int tokens) { return (tokens + kPageTokens - 1) / kPageTokens; }

// Rows [from, to) of the page as bits.
unsigned rowBits(int page, int from, int to) {
  const int low = std::max(0, from - page * kPageTokens), high = std::min(kPageTokens, to - page * kPageTokens);
  return low < high ? ((1u << (high - low)) - 1) << low : 0;
}

}  // namespace

int TieredArena::slotsOf(const ArenaShape& s, const TierOptions& options) {
  const int slots = HotRows::slotsWithin(s, options.blocks, options.hotBytes / s.numLayers);
  if (slots >= 1) return slots;
  const double least = HotRows::bytesFor(s, options.blocks, 1) * s.numLayers;
  throw Failure{"hotBytes", "at least " + std::to_string(static_cast<long long>(least)) + ", a slot a layer",
                std::to_string(static_cast<long long>(options.hotBytes)), Failure::Kind::tier};
}

std::size_t TieredArena::slotBytes(const ArenaShape& s, const TierOptions& options) {
  return addressable(s.numLayers, HotRows::memoryFor(s, options.blocks, slotsOf(s, options)));
}

TieredArena::TieredArena(const ArenaShape& s, const TierOptions& options, std::uint8_t* followed)
    : Arena(s), options_(options) {
  const int slots = slotsOf(s, options);
  if (options.file) {
    auto file = std::make_unique<FileTier>(s, options.lowerType, *options.file);
    file_ = file.get();
    lower_ = std::move(file);
    threads_ = std::make_unique<IoThreads>(options.ioThreads);
    if (options.ring) ring_ = IoRing::open();
    queue_ = threads_.get();
    if (ring_ != nullptr) queue_ = ring_.get();
  } else {
    lower_ = std::make_unique<HostTier>(s, options.lowerType);
  }
  lowerRowBytes_ = RowFormat(options.lowerType, s.headDim).rowBytes();
  // In one piece, so that it gets huge pages.
  const std::size_t layerMemory = HotRows::memoryFor(s, options.blocks, slots);
  if (followed == nullptr) slots_ = Memory(addressable(s.numLayers, layerMemory));
  std::uint8_t* slotMemory = followed != nullptr ? followed : slots_.data();
  const double units = HotRows::unitsOf(s, options.blocks);
  if (units >= 4294967295.0) {
    throw Failure{"capacityPages", "fewer rows of a layer than 2^32", std::to_string(s.capacityPages),
                  Failure::Kind::tier};
  }
  places_ = Memory(addressable(units * s.numLayers, sizeof(SlotCache::Place)));
  for (int layer = 0; layer < s.numLayers; ++layer) {
    std::uint8_t* memory = slotMemory + static_cast<std::size_t>(layer) * layerMemory;
    auto* places = reinterpret_cast<SlotCache::Place*>(places_.data()) +
                   static_cast<std::size_t>(layer) * static_cast<std::size_t>(units);
    hot_.push_back(std::make_unique<HotRows>(s, layer, options.blocks, slots, memory, places, *lower_, queue_));
    if (followed != nullptr) hot_.back()->follow();
  }
  staging_ = std::make_unique<Staging>(s, *lower_, threads_.get());
  hotView_.valueStride = s.partBytes();
  hotView_.type = s.type;
  hotView_.numKvHeads = s.numKvHeads;
  hotView_.headDim = s.headDim;
  counts_.hotBytes = HotRows::bytesFor(s, options.blocks, slots) * s.numLayers;
  headKeys_.resize(static_cast<std::size_t>(s.numKvHeads));
}

TieredArena::~TieredArena() = default;

TierCounts TieredArena::counts() {
  std::lock_guard<std::mutex> lock(mutex_);
  notePeak();
  TierCounts counts = counts_;
  counts.lowerBytes = lower_->bytes();
  const double placesOfTile = static_cast<double>(shape.numKvHeads) * (options_.blocks ? 1 : kPageTokens);
  counts.tableBytes = lower_->tableBytes() + lower_->tiles() * placesOfTile * sizeof(SlotCache::Place);
  double parts = directParts_;
  for (const auto& hot : hot_) parts += hot->movedParts();
  counts.movedRows = parts / 2;
  counts.movedBytes = parts * static_cast<double>(lowerRowBytes_);
  return counts;
}

void TieredArena::notePeak() {
  counts_.stagingBytes = staging_->bytes() + (file_ != nullptr ? file_->openBytes() : 0);
  counts_.peakStagingBytes = std::max(counts_.peakStagingBytes, counts_.stagingBytes);
}

void TieredArena::write(Context& context, int layer, const float* keys, const float* values, const std::int32_t* slots,
                        int rows) {
  std::lock_guard<std::mutex> lock(mutex_);
  touched_.clear();
  for (int r = 0; r < rows; ++r) {
    const int page = slots[r] / kPageTokens;
    auto at =
        std::find_if(touched_.rbegin(), touched_.rend(), [&](const PageRows& known) { return known.page == page; });
    if (at == touched_.rend()) {
      touched_.push_back({page, 0});
      at = touched_.rbegin();
    }
    at->rows |= 1u << slots[r] % kPageTokens;
  }
  lower_->write(context, layer, keys, values, slots, rows);

  // Pages written whole are a prompt's: they are read through staging next. Its last ones stay hot, as decode steps
  // choose them most.
  HotRows& hot = *hot_[static_cast<std::size_t>(layer)];
  for (const PageRows& touched : touched_) {
    const bool whole = touched.rows == kAllRows;
    if (lower_->view() == nullptr) staging_->written(layer, touched.page, touched.rows, whole);
    for (int head = 0; head < shape.numKvHeads; ++head) {
      if (options_.blocks) hot.written({touched.page, head, 0}, touched.rows, whole);
      for (int row = 0; row < kPageTokens && !options_.blocks; ++row) {
        if (touched.rows >> row & 1) hot.written({touched.page, head, row}, 1u << row, whole);
      }
    }
  }
  notePeak();
  lower_->flush();
}

std::vector<HotRows::Changed> TieredArena::takeChanged(int layer, const std::vector<const std::uint8_t*>& keys) {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<HotRows::Changed> changed;
  for (const std::uint8_t* key : keys) {
    const HotRows::Changed own = hot_[static_cast<std::size_t>(layer)]->takeChanged(key);
    if (own.rows != 0) changed.push_back(own);
  }
  return changed;
}

void TieredArena::changeAll() {
  std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& hot : hot_) hot->changeAll();
}

void TieredArena::forgetPage(int layer, int page) {
  HotRows& hot = *hot_[static_cast<std::size_t>(layer)];
  for (int head = 0; head < shape.numKvHeads; ++head) {
    for (int row = 0; row < (options_.blocks ? 1 : kPageTokens); ++row) hot.forget({page, head, row});
  }
}

LayerRows TieredArena::layerRows(Context& context, int layer, const Batch& batch, int firstToken) {
  if (lower_->view() != nullptr) return {*lower_->view(), batch};
  std::lock_guard<std::mutex> lock(mutex_);
  wanted_.clear();
  for (int s = 0; s < batch.numSequences; ++s) {
    const std::int32_t* pages = batch.pages + batch.pageStarts[s];
    for (int page = firstToken / kPageTokens; page < pagesOf(batch.contextTokens[s]); ++page) {
      wanted_.push_back({pages[page], rowBits(page, firstToken, batch.contextTokens[s])});
    }
  }
  staging_->bring(context, layer, wanted_, true);
  if (context.cancelled()) return {staging_->view(), batch};

  pages_.assign(static_cast<std::size_t>(batch.pageStarts[batch.numSequences]), 0);
  for (int s = 0; s < batch.numSequences; ++s) {
    for (int page = firstToken / kPageTokens; page < pagesOf(batch.contextTokens[s]); ++page) {
      const std::size_t at = static_cast<std::size_t>(batch.pageStarts[s] + page);
      pages_[at] = staging_->tileOf(batch.pages[at]);
    }
  }
  // The next layer's rows before those that this batch is about to write; of scattered ones most stay.
  wanted_.clear();
  for (int s = 0; s < batch.numSequences && batch.rowStarts != nullptr; ++s) {
    const int rows = batch.positions != nullptr ? 0 : batch.rowStarts[s + 1] - batch.rowStarts[s];
    const int before = batch.contextTokens[s] - rows;
    for (int page = 0; page < before / kPageTokens; ++page)
      wanted_.push_back({batch.pages[batch.pageStarts[s] + page], kAllRows});
  }
  if (!wanted_.empty()) staging_->ahead(layer + 1, wanted_);
  notePeak();
  Batch staged = batch;
  staged.pages = pages_.data();
  return {staging_->view(), staged};
}

void TieredArena::copyPage(int from, int to) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (from == to) return;
  staging_->forget(to);
  for (int layer = 0; layer < shape.numLayers; ++layer) {
    forgetPage(layer, to);
    lower_->copyPage(layer, from, to);
  }
}

void TieredArena::readRows(int layer, int kvHead, bool values, const std::int32_t* pages, int start, int end,
                           float* out) {
  std::lock_guard<std::mutex> lock(mutex_);
  const std::size_t rowBytes = shape.rowBytes(), headDim = static_cast<std::size_t>(shape.headDim);
  std::vector<std::uint8_t> block(2 * shape.partBytes());
  for (int index = start; index < end;) {
    const int page = index / kPageTokens;
    const unsigned rows = rowBits(page, index, end);
    Fill fill{pages[page], kvHead, {values ? 0 : rows, values ? rows : 0}, block.data()};
    std::fill(block.begin(), block.end(), 0);
    readNow(layer, fill);
    const std::uint8_t* part = block.data() + (values ? shape.partBytes() : 0);
    for (; index < end && index / kPageTokens == page; ++index) {
      std::uint16_t row[4096];
      std::memcpy(row, part + static_cast<std::size_t>(index % kPageTokens) * rowBytes, rowBytes);
      for (std::size_t i = 0; i < headDim; ++i) *out++ = halfToFloat(row[i]);
    }
  }
}

// Rows that were never written are left alone.
void TieredArena::readNow(int layer, Fill& fill) {
  const unsigned held = lower_->heldRows(layer, fill.page);
  for (unsigned& rows : fill.rows) rows &= held;
  if (!fill.empty()) lower_->fill(layer, fill);
  if (fill.empty()) return;
  const std::shared_ptr<IoJob> job = lower_->read(layer, &fill, 1);
  threads_->finish(*job);
  if (job->failure()) throw *job->failure();
}

}  // namespace kvasir::tier
