#include "device_index.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "../failure.h"
#include "host_keys.h"

namespace kvasir::gpu {

using selection::kBasisTokens;
using selection::kBlockTokens;
using selection::kMeanLanes;
using selection::kWordBytes;
using selection::PrincipalStorage;

namespace {

constexpr std::size_t kTileRowBytes = KVASIR_INDEX_LANES * 16;  // of one vector, of a tile's tokens or segments

std::size_t wide(int n) { return static_cast<std::size_t>(n); }
int tilesOf(int rows) { return (rows + KVASIR_INDEX_LANES - 1) / KVASIR_INDEX_LANES; }
int padded(int rows) { return tilesOf(rows) * KVASIR_INDEX_LANES; }

// Growing by a 64th keeps the spare room small; a row is copied 64 times on average over the life of an index.
int grown(int needed, int spare) { return padded(needed + needed / 64 + spare); }

std::size_t largest(const std::vector<KvasirPiece>& pieces) {
  std::size_t most = 0;
  for (const KvasirPiece& piece : pieces) most = std::max(most, piece.bytes);
  return most;
}

}  // namespace

DeviceIndex::DeviceIndex(SessionPtr session, const SegmentIndexShape& shape)
    : IndexStorage(shape), session_(std::move(session)), home_(shape) {
  shape_.headDim = shape.headDim;
  shape_.codeBits = shape.codeBits;
  shape_.vectorBits = shape.vectorBits;
  shape_.numKvHeads = shape.numKvHeads;
  layout_ = kvasirIndexLayout(&shape_);
}

bool DeviceIndex::holds(const SegmentIndexShape& shape) {
  return shape.basis == CodeBasis::principal && shape.codeBits > 0 && shape.headDim <= KVASIR_INDEX_MAX_DIM;
}

std::vector<KvasirPiece> DeviceIndex::piecesOf(const std::uint8_t* from, const KvasirIndexLayout& fromLayout, std::uint8_t* to,
                                               const KvasirIndexLayout& toLayout, int segments, int tokens) const {
  std::vector<KvasirPiece> pieces;
  const auto piece = [&](std::size_t source, std::size_t target, std::size_t bytes) {
    pieces.push_back({from + source, to + target, bytes});
  };
  const std::size_t halves = wide(padded(segments)) * 2;
  for (std::size_t h = 0; h < numHeads(); ++h) {
    const std::size_t source = h * fromLayout.bytes, target = h * toLayout.bytes;
    piece(source, target, fromLayout.radii);
    piece(source + fromLayout.radii, target + toLayout.radii, halves);
    piece(source + fromLayout.meanSteps, target + toLayout.meanSteps, halves);
    piece(source + fromLayout.means, target + toLayout.means, wide(tilesOf(segments) * fromLayout.meanVectors) * kTileRowBytes);
    piece(source + fromLayout.codes, target + toLayout.codes, wide(tilesOf(tokens) * fromLayout.codeVectors) * kTileRowBytes);
  }
  piece(headsBytes(fromLayout), headsBytes(toLayout), wide(padded(tokens)) * sizeof(std::int32_t));
  return pieces;
}

void DeviceIndex::reserve(int segments, int tokens, int usedSegments, int usedTokens) {
  if (segments <= shape_.segmentCapacity && tokens <= shape_.tokenCapacity) return;
  KvasirIndexShape next = shape_;
  next.segmentCapacity = std::max(shape_.segmentCapacity, grown(segments, 2));
  next.tokenCapacity = std::max(shape_.tokenCapacity, grown(tokens, KVASIR_INDEX_LANES));
  const KvasirIndexLayout layout = kvasirIndexLayout(&next);
  DeviceMemory memory(session_->device, headsBytes(layout) + wide(next.tokenCapacity) * sizeof(std::int32_t));
  const auto lock = session_->reader.lock();
  // Tiles are read whole.
  session_->reader.fill(lock, memory.data(), 0, memory.bytes());
  if (usedTokens > 0) {
    session_->reader.move(lock, piecesOf(memory_.data(), layout_, memory.data(), layout, usedSegments, usedTokens));
  }
  session_->reader.synchronize(lock);
  memory_ = std::move(memory);
  shape_ = next;
  layout_ = layout;
}

void DeviceIndex::copyFrom(const IndexStorage& other, int segments, int tokens) {
  const auto& from = static_cast<const DeviceIndex&>(other);
  const auto lock = session_->reader.lock();
  session_->reader.move(lock, piecesOf(from.memory_.data(), from.layout_, memory_.data(), layout_, segments, tokens));
  session_->reader.synchronize(lock);
}

// Rows of host memory never meet this index: extendOnDevice() is the way in.
void DeviceIndex::encode(Context&, int, int, int, const selection::HeadKeys&, const std::vector<std::int32_t>&, std::size_t) {
  throw Failure{"kv.arena", "the GPU's, as when the index was begun", "one in host memory"};
}

void DeviceIndex::forget(int segments) { atHome_ = std::min(atHome_, segments); }

void DeviceIndex::fetch(const std::vector<std::int32_t>& ends) const {
  const int segments = static_cast<int>(ends.size());
  if (atHome_ >= segments) return;
  const int tokens = ends.back(), firstToken = atHome_ == 0 ? 0 : ends[wide(atHome_) - 1];
  home_.reserve(segments, tokens, atHome_, firstToken);
  const int segmentTile = atHome_ / KVASIR_INDEX_LANES, tokenTile = firstToken / KVASIR_INDEX_LANES;
  const std::size_t halfBytes = wide(padded(segments) - segmentTile * KVASIR_INDEX_LANES) * 2;
  const std::size_t meanBytes = wide((tilesOf(segments) - segmentTile) * layout_.meanVectors) * kTileRowBytes;
  const std::size_t codeBytes = wide((tilesOf(tokens) - tokenTile) * layout_.codeVectors) * kTileRowBytes;
  const int dim = shape_.headDim, words = layout_.words4 + layout_.words2 + layout_.words1;
  const std::size_t groupBytes = selection::meanGroupBytes(dim, shape_.vectorBits), channelBytes = wide(shape_.vectorBits / 8);
  const auto lock = session_->reader.lock();
  for (int layer = 0; layer < IndexStorage::shape_.numLayers; ++layer) {
    std::vector<RowReader::Piece> pieces;
    for (int kvHead = 0; kvHead < shape_.numKvHeads; ++kvHead) {
      const std::uint8_t* head = memory_.data() + headAt(layer, kvHead) * layout_.bytes;
      pieces.push_back({head, layout_.radii});
      pieces.push_back({head + layout_.radii + wide(segmentTile) * KVASIR_INDEX_LANES * 2, halfBytes});
      pieces.push_back({head + layout_.meanSteps + wide(segmentTile) * KVASIR_INDEX_LANES * 2, halfBytes});
      pieces.push_back({head + layout_.means + wide(segmentTile * layout_.meanVectors) * kTileRowBytes, meanBytes});
      pieces.push_back({head + layout_.codes + wide(tokenTile * layout_.codeVectors) * kTileRowBytes, codeBytes});
    }
    const std::uint8_t* at = session_->reader.read(lock, pieces);
    for (int kvHead = 0; kvHead < shape_.numKvHeads; ++kvHead) {
      const PrincipalStorage::Parts to = home_.parts(layer, kvHead);
      std::memcpy(to.basis, at, layout_.radii);
      at += layout_.radii;
      const std::size_t skipped = wide(atHome_ % KVASIR_INDEX_LANES) * 2, added = wide(segments - atHome_) * 2;
      std::memcpy(to.radii + atHome_, at + skipped, added);
      at += halfBytes;
      std::memcpy(to.meanSteps + atHome_, at + skipped, added);
      at += halfBytes;
      for (int s = atHome_; s < segments; ++s) {
        const std::uint8_t* tile = at + wide((s / KVASIR_INDEX_LANES - segmentTile) * layout_.meanVectors) * kTileRowBytes +
                                   wide(s % KVASIR_INDEX_LANES) * 16;
        std::uint8_t* group = to.means + wide(s / kMeanLanes) * groupBytes + wide(s % kMeanLanes) * channelBytes;
        for (int i = 0; i < dim; ++i) {
          const std::size_t byte = wide(i) * channelBytes;
          std::memcpy(group + wide(i) * kMeanLanes * channelBytes, tile + byte / 16 * kTileRowBytes + byte % 16, channelBytes);
        }
      }
      at += meanBytes;
      for (int token = firstToken; token < tokens; ++token) {
        const std::uint8_t* tile = at + wide((token / KVASIR_INDEX_LANES - tokenTile) * layout_.codeVectors) * kTileRowBytes +
                                   wide(token % KVASIR_INDEX_LANES) * 16;
        std::uint8_t* codes = to.codes + wide(token / kBlockTokens) * home_.layout().blockBytes() + wide(token % kBlockTokens) * kWordBytes;
        for (int word = 0; word < words; ++word) {
          std::memcpy(codes + wide(word) * kBlockTokens * kWordBytes, tile + wide(word / 4) * kTileRowBytes + wide(word % 4) * 4, kWordBytes);
        }
      }
      at += codeBytes;
    }
  }
  atHome_ = segments;
}

void DeviceIndex::read(int layer, int kvHead, const std::vector<std::int32_t>& ends, float* means, float* deviations,
                       float* levels, float* radii) const {
  if (!ends.empty()) fetch(ends);
  home_.read(layer, kvHead, ends, means, deviations, levels, radii);
}

// On the host, of the rows of the first segments: the bits are then those of an index in host memory.
void DeviceIndex::makeBasis(Context& context, DeviceArena& arena, const std::vector<std::int32_t>& pages,
                            const std::vector<std::int32_t>& ends) {
  std::vector<std::int32_t> firstEnds;
  for (std::size_t s = 0; s < ends.size() && (s == 0 || ends[s - 1] < kBasisTokens); ++s) firstEnds.push_back(ends[s]);
  const int tokens = firstEnds.back(), numKvHeads = shape_.numKvHeads;
  std::vector<HostKeys> layers;
  for (int layer = 0; layer < IndexStorage::shape_.numLayers && !context.cancelled(); ++layer) {
    layers.emplace_back(arena, layer, pages.data(), 0, tokens);
  }
  if (context.cancelled()) return;
  PrincipalStorage made(IndexStorage::shape_);
  made.reserve(static_cast<int>(firstEnds.size()), tokens, 0, 0);
  context.forEach(static_cast<int>(numHeads()), [&](int head, int worker) {
    if (context.cancelled()) return;
    const int layer = head / numKvHeads, kvHead = head % numKvHeads;
    const HostKeys& keys = layers[wide(layer)];
    made.makeBasis(context, worker, layer, kvHead, selection::headKeys(keys.view(), layer, kvHead, keys.pages()), firstEnds);
  });
  if (context.cancelled()) return;
  const std::size_t basisBytes = made.basisBytes();
  std::vector<std::uint8_t> all(numHeads() * basisBytes);
  for (std::size_t h = 0; h < numHeads(); ++h) {
    const int head = static_cast<int>(h);
    std::memcpy(all.data() + h * basisBytes, made.parts(head / numKvHeads, head % numKvHeads).basis, basisBytes);
  }
  const std::uint8_t* sent = session_->uploads.push(all.data(), all.size());
  std::vector<KvasirPiece> pieces;
  for (std::size_t h = 0; h < numHeads(); ++h) pieces.push_back({sent + h * basisBytes, memory_.data() + h * layout_.bytes, basisBytes});
  KvasirCopyPiecesArgs args{};
  args.pieces = session_->uploads.push(pieces.data(), pieces.size());
  args.count = static_cast<std::int32_t>(pieces.size());
  args.maxBytes = largest(pieces);
  session_->stream.launch(&KvasirGpuV1::copyPieces, "copyPieces", args);
}

void DeviceIndex::code(Context& context, DeviceArena& arena, const std::vector<std::int32_t>& pages,
                       const std::vector<std::int32_t>& ends, int first) {
  const Stream& stream = session_->stream;
  session_->uploads.reset();
  try {
    if (first == 0) makeBasis(context, arena, pages, ends);
    if (context.cancelled()) return stream.synchronize();
    KvasirEncodeSegmentsArgs args{};
    args.kv = arena.deviceView();
    args.pages = session_->uploads.push(pages.data(), pages.size());
    args.numLayers = IndexStorage::shape_.numLayers;
    args.shape = shape_;
    args.index = memory_.data();
    args.ends = session_->uploads.push(ends.data(), ends.size());
    args.firstSegment = first;
    args.numSegments = static_cast<std::int32_t>(ends.size());
    args.segmentOf = reinterpret_cast<std::int32_t*>(memory_.data() + headsBytes(layout_));
    stream.launch(&KvasirGpuV1::encodeSegments, "encodeSegments", args);
    stream.synchronize();
  } catch (...) {
    stream.settle();
    throw;
  }
}

void DeviceIndex::describe(KvasirSelectSequence& sequence) const {
  kvasirSelectIndex(&sequence, memory_.data(), &layout_);
  sequence.segmentOf = reinterpret_cast<const std::int32_t*>(memory_.data() + headsBytes(layout_));
}

void extendOnDevice(Context& context, SegmentIndex& index, DeviceArena& arena, const std::vector<std::int32_t>& pages,
                    const std::vector<std::int32_t>& ends) {
  const int count = static_cast<int>(ends.size());
  // Rows that come back do so beside the stream that ops have written them on.
  arena.session()->stream.synchronize();
  if (index.codedTokens() == 0 && DeviceIndex::of(index) == nullptr && DeviceIndex::holds(index.shape())) {
    index.store(std::make_unique<DeviceIndex>(arena.session(), index.shape()));
  }
  if (auto* codes = dynamic_cast<DeviceIndex*>(&index.storage())) {
    const auto code = [&](const std::vector<std::int32_t>& all, int first) { codes->code(context, arena, pages, all, first); };
    index.extend(context, code, ends.data(), count);
    return;
  }
  std::unique_ptr<HostKeys> keys;
  const auto keysOf = [&](int layer) {
    keys = std::make_unique<HostKeys>(arena, layer, pages.data(), index.codedTokens(), ends.back());
    return SegmentIndex::LayerKeys{keys->view(), keys->pages()};
  };
  index.extend(context, keysOf, ends.data(), count);
}

}  // namespace kvasir::gpu
