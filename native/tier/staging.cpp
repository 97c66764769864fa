#include "staging.h"

#include <algorithm>

namespace kvasir::tier {
namespace {

constexpr int kTilesAtOnce = 32;

int countBits(unsigned rows) { return __builtin_popcount(rows); }

}  // namespace

Staging::Staging(const ArenaShape& shape, LowerTier& lower, IoThreads* threads)
    : shape_(shape), lower_(lower), threads_(threads) {
  view_.pageStride = shape.tileBytes();
  view_.layerStride = 0;
  view_.headStride = 2 * shape.partBytes();
  view_.valueStride = shape.partBytes();
  view_.type = shape.type;
  view_.numKvHeads = shape.numKvHeads;
  view_.headDim = shape.headDim;
}

void Staging::bring(Context& context, int layer, const std::vector<PageRows>& wanted, bool values) {
  Buffer& buffer = turnTo(layer);
  start(buffer, wanted, values, true);
  settle(&context, buffer);
}

void Staging::ahead(int layer, const std::vector<PageRows>& wanted) {
  if (threads_ == nullptr || layer >= shape_.numLayers) return;
  Buffer& next = buffers_[1 - now_];
  if (next.layer != layer) clear(next);
  next.layer = layer;
  start(next, wanted, true, false);
}

void Staging::written(int layer, int page, unsigned rows, bool keep) {
  if (keep) turnTo(layer);
  for (int i : {now_, 1 - now_}) {
    Buffer& buffer = buffers_[i];
    if (buffer.layer != layer || !(buffer.tiles.count(page) > 0 || (keep && i == now_))) continue;
    // A read of these rows may be under way.
    if (!buffer.jobs.empty()) settle(nullptr, buffer);
    const int tile = add(buffer, page);
    for (unsigned& part : buffer.valid[static_cast<std::size_t>(tile)].rows) part |= rows;
    for (int head = 0; head < shape_.numKvHeads; ++head) {
      Fill fill{page, head, {rows, rows}, placeOf(buffer, tile, head)};
      lower_.fill(layer, fill);
    }
  }
}

void Staging::forget(int page) {
  for (Buffer& buffer : buffers_) {
    if (buffer.tiles.count(page) == 0) continue;
    settle(nullptr, buffer);
    buffer.valid[static_cast<std::size_t>(buffer.tiles.at(page))] = {{0, 0}};
  }
}

void Staging::release() {
  for (Buffer& buffer : buffers_) {
    clear(buffer);
    buffer.memory.release();
    buffer.valid.shrink_to_fit();
  }
}

double Staging::bytes() const {
  return static_cast<double>(buffers_[0].valid.size() + buffers_[1].valid.size()) *
         static_cast<double>(view_.pageStride);
}

Staging::Buffer& Staging::turnTo(int layer) {
  if (buffers_[now_].layer != layer) {
    if (buffers_[1 - now_].layer == layer) now_ = 1 - now_;
    else clear(buffers_[now_]);
  }
  Buffer& buffer = buffers_[now_];
  buffer.layer = layer;
  reserve(buffer);
  view_.base = buffer.memory.data();
  return buffer;
}

// The tile of a page; a new one is empty.
int Staging::add(Buffer& buffer, int page) {
  reserve(buffer);
  const auto [at, fresh] = buffer.tiles.try_emplace(page, static_cast<int>(buffer.valid.size()));
  if (fresh) buffer.valid.push_back({{0, 0}});
  return at->second;
}

// For the capacity; memory is taken from the system as tiles are written.
void Staging::reserve(Buffer& buffer) {
  if (buffer.memory.data() == nullptr) buffer.memory = Memory(addressable(shape_.capacityPages, view_.pageStride));
}

std::uint8_t* Staging::placeOf(const Buffer& buffer, int tile, int kvHead) const {
  return buffer.memory.data() + static_cast<std::size_t>(tile) * view_.pageStride +
         static_cast<std::size_t>(kvHead) * view_.headStride;
}

// Rows that the lower tier has in memory are copied, the rest is read in stretches of neighbouring pages.
void Staging::start(Buffer& buffer, const std::vector<PageRows>& wanted, bool values, bool urgent) {
  fills_.clear();
  int pages = 0;
  const auto send = [&] {
    if (fills_.empty()) return;
    buffer.jobs.push_back(lower_.read(buffer.layer, fills_.data(), static_cast<int>(fills_.size())));
    threads_->submit(buffer.jobs.back(), urgent);
    fills_.clear();
    pages = 0;
  };
  for (const PageRows& want : wanted) {
    const int tile = add(buffer, want.page);
    Valid& valid = buffer.valid[static_cast<std::size_t>(tile)];
    const unsigned keys = want.rows & ~valid.rows[0], both = values ? want.rows & ~valid.rows[1] : 0;
    if ((keys | both) == 0) continue;
    valid.rows[0] |= keys;
    valid.rows[1] |= both;
    movedParts_ += static_cast<double>(countBits(keys) + countBits(both)) * shape_.numKvHeads;
    const bool joins = !fills_.empty() && want.page == fills_.back().page + 1 && pages < kTilesAtOnce;
    if (!joins) send();
    bool reads = false;
    for (int head = 0; head < shape_.numKvHeads; ++head) {
      Fill fill{want.page, head, {keys, both}, placeOf(buffer, tile, head)};
      lower_.fill(buffer.layer, fill);
      const unsigned medium = lower_.mediumRows(buffer.layer, want.page);
      fill.rows[0] &= medium;
      fill.rows[1] &= medium;
      if (fill.empty()) continue;
      fills_.push_back(fill);
      reads = true;
    }
    pages += reads;
  }
  send();
}

void Staging::settle(Context* context, Buffer& buffer) {
  std::vector<std::shared_ptr<IoJob>> jobs;
  jobs.swap(buffer.jobs);
  std::optional<Failure> failure;
  for (const std::shared_ptr<IoJob>& job : jobs) {
    if (failure || (context != nullptr && context->cancelled())) {
      threads_->cancel(*job);
      continue;
    }
    threads_->finish(*job);
    if (job->failure()) failure = job->failure();
  }
  // What was asked for may be missing: nothing of the buffer is believed.
  if (failure || (context != nullptr && context->cancelled())) clear(buffer);
  if (failure) throw *failure;
}

void Staging::clear(Buffer& buffer) {
  for (const std::shared_ptr<IoJob>& job : buffer.jobs) threads_->cancel(*job);
  buffer.jobs.clear();
  buffer.tiles.clear();
  buffer.valid.clear();
  buffer.layer = -1;
}

}  // namespace kvasir::tier
