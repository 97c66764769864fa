#include "tiered_device_arena.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "../failure.h"

namespace kvasir::gpu {
namespace {

std::vector<std::int32_t> distinct(std::vector<std::int32_t> pages) {
  std::sort(pages.begin(), pages.end());
  pages.erase(std::unique(pages.begin(), pages.end()), pages.end());
  return pages;
}

}  // namespace

TieredDeviceArena::TieredDeviceArena(SessionPtr session, const ArenaShape& s, const tier::TierOptions& options)
    : DeviceArena(std::move(session), s, Elsewhere{}), caughtUp_(session_->device) {
  makeSlots(options);
  const std::size_t bytes = bytesOfAll();
  memory_ = PinnedMemory(session_->device, bytes);
  // As fresh memory is elsewhere.
  std::memset(memory_.data(), 0, bytes);
  view_.base = memory_.mapped();
  hostView_ = {memory_.data(), view_.pageStride, view_.layerStride, view_.headStride, view_.valueStride, s.type, s.numKvHeads, s.headDim};
  KvasirKvView rows = view_;
  rows.base = memory_.data();
  staging_ = std::make_unique<TieredStaging>(session_, s, rows);
  loaded_.resize(static_cast<std::size_t>(s.numLayers));
}

bool TieredDeviceArena::holds(const tier::TierOptions& options) {
  return !options.file && options.pinned && options.lowerType == tier::LowerType::f16 && !options.prefetch;
}

TieredDeviceArena::~TieredDeviceArena() { session_->stream.settle(); }

// As many slots as the tiered arena of a CPU makes of the same options.
void TieredDeviceArena::makeSlots(const tier::TierOptions& options) {
  const int numSlots = tier::TieredArena::slotsOf(shape, options);
  const double rows = tier::HotRows::unitsOf(shape, false);
  if (rows >= 2147483647.0) {
    throw Failure{"capacityPages", "fewer rows of a layer than 2^31", std::to_string(shape.capacityPages), Failure::Kind::tier};
  }
  hotBytes_ = tier::HotRows::bytesFor(shape, options.blocks, numSlots) * shape.numLayers;
  const auto layers = static_cast<std::size_t>(shape.numLayers);
  const std::size_t entries = layers * static_cast<std::size_t>(numSlots);
  hot_.numSlots = numSlots;
  hot_.numUnits = static_cast<std::int32_t>(tier::HotRows::unitsOf(shape, options.blocks));
  hot_.blocks = options.blocks ? 1 : 0;
  slots_ = DeviceMemory(session_->device, layers * kvasirHotLayerBytes(numSlots, hot_.blocks, shape.headDim));
  tables_ = DeviceMemory(session_->device, 3 * entries * sizeof(std::int32_t));
  places_ = DeviceMemory(session_->device, layers * static_cast<std::size_t>(hot_.numUnits) * sizeof(std::int32_t));
  state_ = DeviceMemory(session_->device, layers * sizeof(KvasirHotState));
  hot_.rows = slots_.data();
  hot_.places = reinterpret_cast<std::int32_t*>(places_.data());
  hot_.units = reinterpret_cast<std::uint32_t*>(tables_.data());
  hot_.stamps = hot_.units + entries;
  hot_.taken = reinterpret_cast<std::int32_t*>(hot_.stamps + entries);
  hot_.state = reinterpret_cast<KvasirHotState*>(state_.data());
  const Stream stream(session_->device);
  for (const DeviceMemory* zeros : {&tables_, &places_, &state_}) stream.fill(zeros->data(), 0, zeros->bytes());
  stream.synchronize();
}

tier::TierCounts TieredDeviceArena::counts() {
  std::vector<KvasirHotState> states(static_cast<std::size_t>(shape.numLayers));
  reader_.copy(reader_.lock(), states.data(), state_.data(), state_.bytes());
  tier::TierCounts counts;
  for (const KvasirHotState& state : states) {
    counts.hits += static_cast<double>(state.hits);
    counts.misses += static_cast<double>(state.misses);
    counts.movedRows += static_cast<double>(state.movedRows);
    counts.overflows += static_cast<double>(state.overflows);
    // A K row without its V row.
    counts.movedRows += (static_cast<double>(state.keysRead) + state.keysReadSince) / 2;
  }
  counts.movedBytes = counts.movedRows * 2 * static_cast<double>(shape.rowBytes());
  counts.hotBytes = hotBytes_;
  counts.lowerBytes = static_cast<double>(memory_.bytes());
  counts.tableBytes = static_cast<double>(places_.bytes() + state_.bytes());
  std::lock_guard<std::mutex> lock(mutex_);
  counts.stagingBytes = stagingBytes_;
  counts.peakStagingBytes = peakStagingBytes_;
  return counts;
}

// What changed beside the slots leaves them before an op looks at them.
void TieredDeviceArena::catchUp() {
  std::vector<std::int32_t> pages;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    pages.swap(changed_);
  }
  if (pages.empty()) return;
  pages = distinct(std::move(pages));
  for (const std::int32_t page : pages) staging_->forget(-1, page);
  KvasirForgetPagesArgs args{};
  args.hot = hot_;
  args.numLayers = shape.numLayers;
  args.numKvHeads = shape.numKvHeads;
  args.pages = session_->uploads.push(pages.data(), pages.size());
  args.count = static_cast<std::int32_t>(pages.size());
  // An aborted run drops launches that are held: this one must go through.
  session_->stream.record(caughtUp_);
  session_->stream.launch(&KvasirGpuV1::forgetPages, "forgetPages", args);
}

void TieredDeviceArena::write(const KvasirWriteKvArgs& rows, const std::int32_t* slots) {
  catchUp();
  for (int r = 0; r < rows.rows && staging_->bytes() > 0; ++r) staging_->forget(rows.to.layer, slots[r] / kPageTokens);
  KvasirWriteTieredArgs args{};
  args.to = rows.to;
  args.hot = hot_;
  args.keys = rows.keys;
  args.values = rows.values;
  args.rows = rows.rows;
  session_->stream.launch(&KvasirGpuV1::writeTiered, "writeTiered", args);
}

void TieredDeviceArena::bring(KvasirAttendRunsArgs& attend, int numLists) {
  catchUp();
  // Decode steps alone need no staging.
  if (++callsSinceStaged_ == shape.numLayers + 1) {
    staging_->release();
    noteStaging();
  }
  const auto lists = static_cast<std::size_t>(numLists);
  const std::size_t keyBytes = lists * static_cast<std::size_t>(attend.maxTokens) * sizeof(std::uint8_t*);
  const std::size_t startBytes = (lists + 4) / 4 * 4 * sizeof(std::int32_t);
  KvasirBringRowsArgs args{};
  args.workspaceBytes = kvasirBringRowsWorkspaceBytes(numLists, attend.numSequences, attend.maxTokens);
  std::uint8_t* memory = lists_.reserve(session_->stream, keyBytes + startBytes + args.workspaceBytes, 0);
  args.kv = view_;
  args.layer = attend.layer;
  args.numHeads = attend.numHeads;
  args.hot = hot_;
  args.numSequences = attend.numSequences;
  args.pageStarts = attend.pageStarts;
  args.pages = attend.pages;
  args.rows = attend.rows;
  args.maxTokens = attend.maxTokens;
  args.keys = reinterpret_cast<const std::uint8_t**>(memory);
  args.starts = reinterpret_cast<std::int32_t*>(memory + keyBytes);
  args.workspace = memory + keyBytes + startBytes;
  session_->stream.launch(&KvasirGpuV1::bringRows, "bringRows", args);
  attend.keys = args.keys;
  attend.rows = {args.starts, nullptr, attend.rows.perQueryHead};
}

StagedRows TieredDeviceArena::stage(int layer, const Batch& batch) {
  catchUp();
  callsSinceStaged_ = 0;
  std::vector<std::int32_t> wanted, before;
  for (int s = 0; s < batch.numSequences; ++s) {
    const std::int32_t* pages = batch.pages + batch.pageStarts[s];
    wanted.insert(wanted.end(), pages, pages + (batch.contextTokens[s] + kPageTokens - 1) / kPageTokens);
    // Of scattered rows any page may be written before the next layer reads it.
    if (batch.positions != nullptr) continue;
    const int written = batch.rowStarts[s + 1] - batch.rowStarts[s];
    before.insert(before.end(), pages, pages + (batch.contextTokens[s] - written) / kPageTokens);
  }
  wanted = distinct(std::move(wanted));
  staging_->bring(layer, wanted);
  staging_->ahead(layer + 1, distinct(std::move(before)), wanted.size());
  noteStaging();
  std::vector<std::int32_t> tiles(static_cast<std::size_t>(batch.pageStarts[batch.numSequences]), 0);
  for (int s = 0; s < batch.numSequences; ++s) {
    const int count = (batch.contextTokens[s] + kPageTokens - 1) / kPageTokens;
    for (int at = batch.pageStarts[s]; at < batch.pageStarts[s] + count; ++at) {
      tiles[static_cast<std::size_t>(at)] = staging_->tileOf(batch.pages[at]);
    }
  }
  return {staging_->view(), session_->uploads.push(tiles.data(), tiles.size())};
}

void TieredDeviceArena::noteStaging() {
  std::lock_guard<std::mutex> lock(mutex_);
  stagingBytes_ = static_cast<double>(staging_->bytes());
  peakStagingBytes_ = std::max(peakStagingBytes_, stagingBytes_);
}

void TieredDeviceArena::copyPage(int from, int to) {
  if (from == to) return;
  const std::size_t bytes = view_.pageStride;
  std::memcpy(memory_.data() + static_cast<std::size_t>(to) * bytes, memory_.data() + static_cast<std::size_t>(from) * bytes, bytes);
  std::lock_guard<std::mutex> lock(mutex_);
  changed_.push_back(to);
}

void TieredDeviceArena::readRows(int layer, int kvHead, bool values, const std::int32_t* pages, int start, int end, float* out) {
  readKv(hostView_, layer, kvHead, values, pages, start, end, out);
}

void TieredDeviceArena::gatherKeys(int layer, int kvHead, const std::int32_t* pages, const std::int32_t* indices, int count,
                                   std::uint8_t* out) {
  gatherKeyRows(hostView_, layer, kvHead, pages, indices, count, out);
}

// On the thread of loads. Nothing else uses the layer before it has awaited this.
void TieredDeviceArena::adopt(Context& context, int layer, const std::uint8_t* source, int sourceTokens, const std::int32_t* rowsOf,
                              const std::int32_t* slots, int rows, const KeyTurns* turns) {
  std::vector<std::int32_t> pages;
  for (int r = 0; r < rows; ++r) pages.push_back(slots[r] / kPageTokens);
  pages = distinct(std::move(pages));
  {
    std::lock_guard<std::mutex> lock(mutex_);
    std::vector<std::int32_t>& loaded = loaded_[static_cast<std::size_t>(layer)];
    loaded.insert(loaded.end(), pages.begin(), pages.end());
  }
  DeviceArena::adopt(context, layer, source, sourceTokens, rowsOf, slots, rows, turns);
}

void TieredDeviceArena::awaitLoads(int layer) {
  DeviceArena::awaitLoads(layer);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    std::vector<std::int32_t>& loaded = loaded_[static_cast<std::size_t>(layer)];
    if (loaded.empty()) return;
    changed_.insert(changed_.end(), loaded.begin(), loaded.end());
    loaded.clear();
  }
  session_->stream.synchronize();
}

void TieredDeviceArena::exportTo(Context& context, int layer, const std::int32_t* pages, int numTokens, std::uint8_t* out) {
  awaitLoads(layer);
  Arena::exportTo(context, layer, pages, numTokens, out);
}

}  // namespace kvasir::gpu
