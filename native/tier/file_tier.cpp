#include "file_tier.h"

#include <algorithm>
#include <cstring>

#include "aligned_bytes.h"
#include "checksum.h"

namespace kvasir::tier {
namespace {

// Sequences whose last page is open at once; beyond it the oldest are stored as they are.
constexpr std::size_t kOpenPages = 64;
constexpr int kStoredTogether = 32;
constexpr std::size_t kSpareTiles = 64;

std::size_t roundUp(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

// One stretch of the file, checked and decoded. Holds copies of the checksums: nothing of the tier but the file is
// touched off the caller's thread.
class FileTier::Read final : public IoJob {
 public:
  Read(const FileTier& tier, int layer, const Fill* fills, int count)
      : tier_(tier), layer_(layer), fills_(fills, fills + count) {
    for (const Fill& fill : fills_) {
      const std::uint32_t* sums = tier.sumsOf(layer, fill.page) + 2 * static_cast<std::size_t>(fill.kvHead);
      sums_.push_back(sums[0]);
      sums_.push_back(sums[1]);
    }
  }

 protected:
  void run() override {
    prepare(alignedBytes);
    readHere();
    takeAll();
  }

  Stretch stretch() override {
    tier_.file_.check(place());
    prepare([this](std::size_t bytes) {
      own_.reset(new std::uint8_t[bytes + TierFile::kAlignment]);
      return reinterpret_cast<std::uint8_t*>(
          roundUp(reinterpret_cast<std::uintptr_t>(own_.get()), TierFile::kAlignment));
    });
    return {tier_.file_.descriptor(), from_, data_, bytes_};
  }

  void complete(long result) override {
    // Once more where it went wrong, to go on or to tell why.
    if (result != static_cast<long>(bytes_)) readHere();
    takeAll();
  }

 private:
  std::uint64_t blockOffset(const Fill& fill) const {
    return tier_.offsetOf(layer_, fill.page) + static_cast<std::uint64_t>(fill.kvHead) * tier_.format_.blockBytes();
  }
  std::uint64_t partOffset(const Fill& fill, int part) const {
    return blockOffset(fill) + static_cast<std::uint64_t>(part) * tier_.format_.rows.partBytes();
  }

  Place place() const { return {layer_, fills_.front().page, fills_.back().page - fills_.front().page + 1}; }

  // A whole block goes straight to where it is wanted, if it stands there as it is stored.
  template <class Allocate>
  void prepare(Allocate&& allocate) {
    const std::uint64_t begin = partOffset(fills_.front(), fills_.front().rows[0] != 0 ? 0 : 1);
    const std::uint64_t end =
        partOffset(fills_.back(), fills_.back().rows[1] != 0 ? 1 : 0) + tier_.format_.rows.partBytes();
    const std::uint64_t unit = tier_.file_.direct() ? TierFile::kAlignment : 1;
    from_ = begin / unit * unit;
    bytes_ = roundUp(static_cast<std::size_t>(end - from_), unit);
    const Fill& fill = fills_.front();
    inPlace_ = fills_.size() == 1 && tier_.format_.rows.type() == LowerType::f16 && fill.rows[0] == kAllRows &&
               fill.rows[1] == kAllRows && from_ == begin && bytes_ == tier_.format_.blockBytes() &&
               reinterpret_cast<std::uintptr_t>(fill.to) % unit == 0;
    data_ = inPlace_ ? fill.to : allocate(bytes_);
  }

  void readHere() { tier_.file_.read(from_, data_, bytes_, place()); }

  void takeAll() const {
    for (std::size_t i = 0; i < fills_.size(); ++i) take(fills_[i], sums_.data() + 2 * i, data_, from_);
  }

  void take(const Fill& fill, const std::uint32_t* sums, const std::uint8_t* data, std::uint64_t from) const {
    const std::size_t partBytes = tier_.format_.rows.partBytes();
    for (int part = 0; part < 2; ++part) {
      if (fill.rows[part] == 0) continue;
      if (checksum(data + (partOffset(fill, part) - from), partBytes) == sums[part]) continue;
      throw Failure{"tier file " + tier_.file_.path() + ", layer " + std::to_string(layer_) + ", page " +
                        std::to_string(fill.page) + ", KV head " + std::to_string(fill.kvHead) +
                        (part == 0 ? ", K" : ", V"),
                    "the bytes that were written", "others: the checksum differs", Failure::Kind::tier};
    }
    if (inPlace_) return;
    // The V part alone may be what was read: then the block begins before `data`, and its K rows are not touched.
    tier_.format_.decode(data + static_cast<std::ptrdiff_t>(blockOffset(fill)) - static_cast<std::ptrdiff_t>(from),
                         fill, kAllRows);
  }

  const FileTier& tier_;
  int layer_;
  std::vector<Fill> fills_;
  std::vector<std::uint32_t> sums_;
  std::unique_ptr<std::uint8_t[]> own_;
  std::uint64_t from_ = 0;
  std::uint8_t* data_ = nullptr;
  std::size_t bytes_ = 0;
  bool inPlace_ = false;
};

FileTier::FileTier(const ArenaShape& shape, LowerType type, const FileOptions& options)
    : shape_(shape), format_(type, shape.numKvHeads, shape.headDim), file_(options.path, options.direct) {
  tileStride_ = file_.direct() ? roundUp(format_.tileBytes(), TierFile::kAlignment) : format_.tileBytes();
  parts_ = 2 * static_cast<std::size_t>(shape.numKvHeads);
  const double tiles = static_cast<double>(shape.numLayers) * shape.capacityPages;
  storedMemory_ = Memory(addressable(tiles, sizeof *stored_));
  sumsMemory_ = Memory(addressable(tiles, parts_ * sizeof *sums_));
  stored_ = reinterpret_cast<std::uint16_t*>(storedMemory_.data());
  sums_ = reinterpret_cast<std::uint32_t*>(sumsMemory_.data());
}

Place FileTier::placeOf(std::size_t number, int pages) const {
  const std::size_t capacity = static_cast<std::size_t>(shape_.capacityPages);
  return {static_cast<int>(number / capacity), static_cast<int>(number % capacity), pages};
}

void FileTier::write(Context&, int layer, const float* keys, const float* values, const std::int32_t* slots, int rows) {
  for (int r = 0; r < rows; ++r) {
    const int page = slots[r] / kPageTokens, at = slots[r] % kPageTokens;
    Open& open = openTile(layer, page);
    format_.encode(keys, values, r, shape_.headDim, at, open.tile.get());
    const bool wasFull = open.rows == kAllRows;
    open.rows |= 1u << at;
    if (open.rows == kAllRows && !wasFull) full_.push_back(number(layer, page));
  }
}

FileTier::Open& FileTier::openTile(int layer, int page) {
  Open& open = open_[number(layer, page)];
  if (open.tile != nullptr) return open;
  open.since = ++clock_;
  if (spare_.empty()) {
    open.tile.reset(new std::uint8_t[tileStride_]());
  } else {
    open.tile = std::move(spare_.back());
    spare_.pop_back();
  }
  return open;
}

void FileTier::flush() {
  storeFull();
  while (open_.size() > kOpenPages * static_cast<std::size_t>(shape_.numLayers)) {
    auto oldest = open_.begin();
    for (auto at = open_.begin(); at != open_.end(); ++at) {
      if (at->second.since < oldest->second.since) oldest = at;
    }
    const Place place = placeOf(oldest->first, 1);
    complete(place.layer, place.page, oldest->second);
    std::uint8_t* tile = alignedBytes(tileStride_);
    std::memcpy(tile, oldest->second.tile.get(), tileStride_);
    const unsigned rows = oldest->second.rows | mediumRows(place.layer, place.page);
    store(oldest->first, 1, tile);
    stored_[oldest->first] = static_cast<std::uint16_t>(rows);
    open_.erase(oldest);
  }
}

// Neighbouring pages go down together. If that fails they stay where they are, and the next flush tries again.
void FileTier::storeFull() {
  std::sort(full_.begin(), full_.end());
  std::size_t stored = 0;
  const auto forget = [&] { full_.erase(full_.begin(), full_.begin() + static_cast<std::ptrdiff_t>(stored)); };
  while (stored < full_.size()) {
    std::size_t count = 1;
    while (stored + count < full_.size() && count < kStoredTogether && full_[stored + count] == full_[stored] + count)
      ++count;
    std::uint8_t* tiles = alignedBytes(count * tileStride_);
    for (std::size_t i = 0; i < count; ++i) {
      std::memcpy(tiles + i * tileStride_, open_.find(full_[stored + i])->second.tile.get(), tileStride_);
    }
    try {
      store(full_[stored], count, tiles);
    } catch (const Failure&) {
      forget();
      throw;
    }
    for (std::size_t i = 0; i < count; ++i, ++stored) {
      const auto at = open_.find(full_[stored]);
      stored_[at->first] = kAllRows;
      if (spare_.size() < kSpareTiles) spare_.push_back(std::move(at->second.tile));
      open_.erase(at);
    }
  }
  forget();
}

// Rows of an open page that only the medium has, so that the page can be stored whole.
void FileTier::complete(int layer, int page, Open& open) {
  const unsigned missing = mediumRows(layer, page);
  if (missing == 0) return;
  std::vector<std::uint8_t> stored(tileStride_);
  readTile(layer, page, stored.data());
  for (std::size_t part = 0; part < parts_; ++part) {
    const std::size_t from = part * format_.rows.partBytes();
    for (int r = 0; r < kPageTokens; ++r) {
      if (missing >> r & 1) format_.rows.copyRow(stored.data() + from, r, open.tile.get() + from);
    }
  }
}

void FileTier::store(std::size_t first, std::size_t count, const std::uint8_t* tiles) {
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t* sums = sums_ + (first + i) * parts_;
    const std::uint8_t* tile = tiles + i * tileStride_;
    for (std::size_t part = 0; part < parts_; ++part) {
      sums[part] = checksum(tile + part * format_.rows.partBytes(), format_.rows.partBytes());
    }
    if (stored_[first + i] == 0) ++tiles_;
  }
  file_.write(first * tileStride_, tiles, count * tileStride_, placeOf(first, static_cast<int>(count)));
}

void FileTier::readTile(int layer, int page, std::uint8_t* tile) const {
  std::uint8_t* data = alignedBytes(tileStride_);
  file_.read(offsetOf(layer, page), data, tileStride_, {layer, page, 1});
  for (std::size_t part = 0; part < parts_; ++part) {
    const std::size_t from = part * format_.rows.partBytes();
    if (checksum(data + from, format_.rows.partBytes()) == sumsOf(layer, page)[part]) continue;
    throw Failure{"tier file " + file_.path() + ", " + Place{layer, page, 1}.text(), "the bytes that were written",
                  "others: the checksum differs", Failure::Kind::tier};
  }
  std::memcpy(tile, data, tileStride_);
}

unsigned FileTier::heldRows(int layer, int page) const {
  const auto open = open_.find(number(layer, page));
  return stored_[number(layer, page)] | (open == open_.end() ? 0 : open->second.rows);
}

unsigned FileTier::mediumRows(int layer, int page) const {
  const auto open = open_.find(number(layer, page));
  return stored_[number(layer, page)] & ~(open == open_.end() ? 0 : open->second.rows);
}

void FileTier::fill(int layer, Fill& fill) {
  const auto open = open_.find(number(layer, fill.page));
  if (open == open_.end()) return;
  const unsigned rows = open->second.rows;
  format_.decode(open->second.tile.get() + static_cast<std::size_t>(fill.kvHead) * format_.blockBytes(), fill, rows);
  fill.rows[0] &= ~rows;
  fill.rows[1] &= ~rows;
}

std::shared_ptr<IoJob> FileTier::read(int layer, const Fill* fills, int count) {
  return std::make_shared<Read>(*this, layer, fills, count);
}

void FileTier::copyPage(int layer, int from, int to) {
  if (from == to) return;
  const std::size_t target = number(layer, to);
  open_.erase(target);
  stored_[target] = 0;
  if (stored_[number(layer, from)] != 0) {
    std::vector<std::uint8_t> tile(tileStride_);
    readTile(layer, from, tile.data());
    std::uint8_t* data = alignedBytes(tileStride_);
    std::memcpy(data, tile.data(), tileStride_);
    store(target, 1, data);
    stored_[target] = stored_[number(layer, from)];
  }
  const auto open = open_.find(number(layer, from));
  if (open == open_.end()) return;
  const Open& source = open->second;
  std::unique_ptr<std::uint8_t[]> tile(new std::uint8_t[tileStride_]);
  std::memcpy(tile.get(), source.tile.get(), tileStride_);
  const unsigned rows = source.rows;
  open_[target] = {std::move(tile), rows, ++clock_};
}

double FileTier::bytes() const { return static_cast<double>(tiles_) * static_cast<double>(tileStride_); }

double FileTier::tableBytes() const {
  return static_cast<double>(tiles_) * static_cast<double>(sizeof *stored_ + parts_ * sizeof *sums_);
}

double FileTier::openBytes() const {
  return static_cast<double>(open_.size() + spare_.size()) * static_cast<double>(tileStride_);
}

}  // namespace kvasir::tier
