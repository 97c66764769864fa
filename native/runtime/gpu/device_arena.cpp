#include "device_arena.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "../../cpu/simd/half.h"
#include "../failure.h"

namespace kvasir::gpu {

// K rows for selectors on the host: each KV head's in memory of its own until it is asked for again.
class DeviceArena::Keys final : public KeyRows {
 public:
  explicit Keys(DeviceArena& arena) : arena_(arena), heads_(static_cast<std::size_t>(arena.shape.numKvHeads)) {}

  void begin(int layer, const std::int32_t* pages) {
    layer_ = layer;
    pages_ = pages;
  }

  const std::uint8_t* const* rows(Context& context, int kvHead, const std::int32_t* indices, int count) override {
    if (context.cancelled()) return nullptr;
    Head& head = heads_[static_cast<std::size_t>(kvHead)];
    const std::size_t rowBytes = arena_.shape.rowBytes();
    head.copies.resize(static_cast<std::size_t>(count) * rowBytes);
    arena_.gatherKeys(layer_, kvHead, pages_, indices, count, head.copies.data());
    head.rows.assign(static_cast<std::size_t>(count) + 1, nullptr);
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) head.rows[i] = head.copies.data() + i * rowBytes;
    return head.rows.data();
  }

 private:
  struct Head {
    std::vector<std::uint8_t> copies;
    std::vector<const std::uint8_t*> rows;
  };

  DeviceArena& arena_;
  std::vector<Head> heads_;
  int layer_ = 0;
  const std::int32_t* pages_ = nullptr;
};

KvasirKvView canonicalView(const ArenaShape& s) {
  if (s.rowBytes() % 16 != 0) {
    const std::string multiple = s.type == KvType::f16 ? "8" : "4";
    throw Failure{"headDim", "a multiple of " + multiple + " on a GPU", std::to_string(s.headDim)};
  }
  KvasirKvView view{};
  view.valueStride = s.partBytes();
  view.headStride = 2 * s.partBytes();
  view.layerStride = s.tileBytes();
  view.pageStride = static_cast<std::size_t>(s.numLayers) * s.tileBytes();
  view.type = s.type == KvType::f16 ? KVASIR_F16 : KVASIR_F32;
  view.numKvHeads = s.numKvHeads;
  view.headDim = s.headDim;
  return view;
}

DeviceArena::DeviceArena(SessionPtr session, const ArenaShape& s, Elsewhere)
    : Arena(s),
      session_(std::move(session)),
      view_(canonicalView(s)),
      reader_(session_->device),
      loads_(session_->device, s.numLayers),
      keys_(std::make_unique<Keys>(*this)) {}

DeviceArena::DeviceArena(SessionPtr session, const ArenaShape& s) : DeviceArena(std::move(session), s, Elsewhere{}) {
  const std::size_t bytes = bytesOfAll();
  memory_ = DeviceMemory(session_->device, bytes);
  view_.base = memory_.data();
  // As fresh memory is elsewhere.
  const Stream stream(session_->device);
  stream.fill(view_.base, 0, bytes);
  stream.synchronize();
}

DeviceArena::~DeviceArena() = default;

const std::uint8_t* DeviceArena::rowAddress(int layer, int kvHead, bool values, int page, int row) const {
  return view_.base + static_cast<std::size_t>(page) * view_.pageStride +
         static_cast<std::size_t>(layer) * view_.layerStride + static_cast<std::size_t>(kvHead) * view_.headStride +
         (values ? view_.valueStride : 0) + static_cast<std::size_t>(row) * shape.rowBytes();
}

// Programs of a device write rows by an op of their own; no CPU program ever holds this arena.
void DeviceArena::write(Context&, int, const float*, const float*, const std::int32_t*, int) {
  throw Failure{"arena", "one in host memory", "one on a GPU"};
}

LayerRows DeviceArena::layerRows(Context&, int, const Batch&, int) {
  throw Failure{"arena", "one in host memory", "one on a GPU"};
}

ListedRows DeviceArena::listedRows(Context&, int, const Batch&, const RunRows&, int) {
  throw Failure{"arena", "one in host memory", "one on a GPU"};
}

KeyRows* DeviceArena::keyRows(int layer, const std::int32_t* pages) {
  keys_->begin(layer, pages);
  return keys_.get();
}

void DeviceArena::copyPage(int from, int to) {
  if (from == to) return;
  reader_.copy(reader_.lock(), view_.base + static_cast<std::size_t>(to) * view_.pageStride,
               view_.base + static_cast<std::size_t>(from) * view_.pageStride, view_.pageStride);
}

void DeviceArena::readRows(int layer, int kvHead, bool values, const std::int32_t* pages, int start, int end, float* out) {
  std::vector<RowReader::Piece> pieces;
  for (int at = start; at < end;) {
    const int offset = at % kPageTokens, count = std::min(kPageTokens - offset, end - at);
    pieces.push_back({rowAddress(layer, kvHead, values, pages[at / kPageTokens], offset),
                      static_cast<std::size_t>(count) * shape.rowBytes()});
    at += count;
  }
  if (pieces.empty()) return;
  const auto lock = reader_.lock();
  const std::uint8_t* rows = reader_.read(lock, pieces);
  const std::size_t numValues = static_cast<std::size_t>(end - start) * static_cast<std::size_t>(shape.headDim);
  if (shape.type == KvType::f32) {
    std::memcpy(out, rows, numValues * sizeof(float));
    return;
  }
  const auto* halves = reinterpret_cast<const std::uint16_t*>(rows);
  for (std::size_t i = 0; i < numValues; ++i) out[i] = halfToFloat(halves[i]);
}

void DeviceArena::gatherKeys(int layer, int kvHead, const std::int32_t* pages, const std::int32_t* indices, int count,
                             std::uint8_t* out) {
  // Neighbours of a page come as one piece.
  std::vector<RowReader::Piece> pieces;
  for (int i = 0; i < count; ++i) {
    const bool follows = i > 0 && indices[i] == indices[i - 1] + 1 && indices[i] % kPageTokens != 0;
    if (follows) {
      pieces.back().bytes += shape.rowBytes();
    } else {
      const int page = pages[indices[i] / kPageTokens];
      pieces.push_back({rowAddress(layer, kvHead, false, page, indices[i] % kPageTokens), shape.rowBytes()});
    }
  }
  if (pieces.empty()) return;
  const auto lock = reader_.lock();
  std::memcpy(out, reader_.read(lock, pieces), static_cast<std::size_t>(count) * shape.rowBytes());
}

}  // namespace kvasir::gpu
