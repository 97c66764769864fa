#include "mirrored_arena.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "../failure.h"
#include "../transfer.h"

namespace kvasir::gpu {
namespace {

constexpr std::size_t kTilesAtOnce = 64;

int pagesOf(int tokens) { return (tokens + kPageTokens - 1) / kPageTokens; }

}  // namespace

MirroredArena::MirroredArena(SessionPtr session, const ArenaShape& s, const tier::TierOptions& options)
    : Arena(s),
      session_(std::move(session)),
      view_(canonicalView(s)),
      slots_(session_->device, tier::TieredArena::slotBytes(s, options)),
      mirror_(session_->device, slots_.bytes()),
      host_(s, options, slots_.data()),
      rest_(session_->device),
      tiles_{Outgoing(session_->device), Outgoing(session_->device)},
      differences_(session_->device),
      slotsSent_(session_->device) {}

MirroredArena::~MirroredArena() { session_->stream.settle(); }

std::uint8_t* MirroredArena::Outgoing::reserve(const DevicePtr& device, std::size_t bytes) {
  copied.synchronize();
  if (memory.bytes() < bytes) {
    memory = PinnedMemory();
    memory = PinnedMemory(device, bytes + bytes / 4);
  }
  return memory.data();
}

// [2][count]: keys, then values.
const float* MirroredArena::fetch(const float* keys, const float* values, std::size_t count) {
  const std::size_t bytes = count * sizeof(float);
  if (incoming_.bytes() < 2 * bytes) {
    incoming_ = PinnedMemory();
    incoming_ = PinnedMemory(session_->device, 2 * bytes);
  }
  session_->stream.copy(incoming_.data(), keys, bytes);
  session_->stream.copy(incoming_.data() + bytes, values, bytes);
  session_->stream.synchronize();
  return reinterpret_cast<const float*>(incoming_.data());
}

void MirroredArena::store(Context& context, int layer, const float* keys, const float* values, const std::int32_t* slots, int rows) {
  if (rows == 0) return;
  const std::size_t count = static_cast<std::size_t>(rows * shape.numKvHeads) * static_cast<std::size_t>(shape.headDim);
  const float* fetched = fetch(keys, values, count);
  host_.write(context, layer, fetched, fetched + count, slots, rows);
}

void MirroredArena::compare(Context& context, int layer, const float* keys, const float* values, const std::int32_t* slots, int rows,
                            float* out) {
  if (rows == 0) return;
  const std::size_t count = static_cast<std::size_t>(rows * shape.numKvHeads) * static_cast<std::size_t>(shape.headDim);
  const float* fetched = fetch(keys, values, count);
  const std::size_t bytes = 2 * static_cast<std::size_t>(rows) * sizeof(float);
  auto* differences = reinterpret_cast<float*>(differences_.reserve(session_->device, bytes));
  compareRows(context, host_, layer, fetched, fetched + count, slots, rows, differences);
  session_->stream.copy(out, differences, bytes);
  session_->stream.record(differences_.copied);
}

bool MirroredArena::bring(Context& context, const Batch& batch, const RunRows& rows, int rowsOfSequence,
                          KvasirAttendRunsArgs& attend) {
  // The host writes slots whose rows may still be going up.
  slotsSent_.synchronize();
  const ListedRows listed = host_.listedRows(context, attend.layer, batch, rows, rowsOfSequence);
  if (context.cancelled()) return false;
  const std::size_t numLists = static_cast<std::size_t>(batch.numSequences * rowsOfSequence);
  const std::int32_t* starts = listed.rows.rowStarts;
  const auto numRows = static_cast<std::size_t>(starts[numLists]);

  std::vector<const std::uint8_t*> addresses(std::max<std::size_t>(numRows, 1), nullptr), hot, rest;
  const std::uint8_t* const end = slots_.data() + slots_.bytes();
  for (std::size_t i = 0; i < numRows; ++i) {
    const std::uint8_t* key = listed.rows.keys[i];
    const bool isHot = key >= slots_.data() && key < end;
    (isHot ? hot : rest).push_back(key);
    if (isHot) addresses[i] = mirror_.data() + (key - slots_.data());
  }
  sendSlots(attend.layer, hot);
  const std::uint8_t* group = sendRest(rest);
  for (std::size_t i = 0, row = 0; i < numRows; ++i) {
    if (addresses[i] != nullptr) continue;
    addresses[i] = group + row / kPageTokens * 2 * shape.partBytes() + row % kPageTokens * shape.rowBytes();
    ++row;
  }
  attend.keys = session_->uploads.push(addresses.data(), addresses.size());
  attend.rows = {session_->uploads.push(starts, numLists + 1), nullptr, listed.rows.perQueryHead};
  attend.maxTokens = 0;
  for (std::size_t list = 0; list < numLists; ++list) attend.maxTokens = std::max(attend.maxTokens, starts[list + 1] - starts[list]);
  return true;
}

// What changed in slots since it went up, as one launch: the device reads it from pinned memory.
void MirroredArena::sendSlots(int layer, const std::vector<const std::uint8_t*>& keys) {
  const std::size_t part = shape.partBytes(), row = shape.rowBytes();
  std::vector<KvasirPiece> pieces;
  const auto add = [&](const std::uint8_t* from, std::size_t bytes) {
    const std::ptrdiff_t at = from - slots_.data();
    pieces.push_back({slots_.mapped() + at, mirror_.data() + at, bytes});
  };
  for (const auto& [group, changed] : host_.takeChanged(layer, keys)) {
    if (changed == tier::kAllRows) add(group, 2 * part);
    for (unsigned left = changed == tier::kAllRows ? 0 : changed; left != 0;) {
      const auto first = static_cast<std::size_t>(__builtin_ctz(left));
      const auto count = static_cast<std::size_t>(__builtin_ctz(~(left >> first)));
      for (const std::size_t side : {std::size_t{0}, part}) add(group + side + first * row, count * row);
      left &= ~(((1u << count) - 1) << first);
    }
  }
  if (pieces.empty()) return;
  KvasirCopyPiecesArgs args{};
  args.count = static_cast<std::int32_t>(pieces.size());
  for (const KvasirPiece& piece : pieces) args.maxBytes = std::max(args.maxBytes, piece.bytes);
  try {
    args.pieces = session_->uploads.push(pieces.data(), pieces.size());
    session_->stream.launch(&KvasirGpuV1::copyPieces, "copyPieces", args);
    session_->stream.record(slotsSent_);
  } catch (...) {
    host_.changeAll();
    throw;
  }
}

// Rows that found no slot, as groups of 16 K rows and their V rows. Returns where they will be.
const std::uint8_t* MirroredArena::sendRest(const std::vector<const std::uint8_t*>& keys) {
  if (keys.empty()) return nullptr;
  const std::size_t part = shape.partBytes(), row = shape.rowBytes();
  const std::size_t bytes = (keys.size() + kPageTokens - 1) / kPageTokens * 2 * part;
  std::uint8_t* from = rest_.reserve(session_->device, bytes);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    std::uint8_t* to = from + i / kPageTokens * 2 * part + i % kPageTokens * row;
    std::memcpy(to, keys[i], row);
    std::memcpy(to + part, keys[i] + part, row);
  }
  std::uint8_t* to = restRows_.reserve(session_->stream, bytes, 0);
  session_->stream.copy(to, from, bytes);
  session_->stream.record(rest_.copied);
  return to;
}

StagedRows MirroredArena::stage(Context& context, int layer, const Batch& batch) {
  const LayerRows rows = host_.layerRows(context, layer, batch, 0);
  if (context.cancelled()) return {};
  std::vector<std::int32_t> found, tiles(static_cast<std::size_t>(batch.pageStarts[batch.numSequences]), 0);
  std::unordered_map<std::int32_t, std::int32_t> tileOf;
  for (int s = 0; s < batch.numSequences; ++s) {
    const int first = batch.pageStarts[s];
    for (int at = first; at < first + pagesOf(batch.contextTokens[s]); ++at) {
      const auto [entry, isNew] = tileOf.try_emplace(rows.batch.pages[at], static_cast<std::int32_t>(found.size()));
      if (isNew) found.push_back(entry->first);
      tiles[static_cast<std::size_t>(at)] = entry->second;
    }
  }
  const std::size_t tileBytes = shape.tileBytes(), headBytes = 2 * shape.partBytes();
  std::uint8_t* to = stagedRows_.reserve(session_->stream, found.size() * tileBytes, 0);
  for (std::size_t first = 0, turn = 0; first < found.size(); first += kTilesAtOnce, ++turn) {
    const std::size_t count = std::min(kTilesAtOnce, found.size() - first);
    Outgoing& piece = tiles_[turn % 2];
    std::uint8_t* out = piece.reserve(session_->device, kTilesAtOnce * tileBytes);
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint8_t* tile = rows.view.base + static_cast<std::size_t>(found[first + i]) * rows.view.pageStride +
                                 static_cast<std::size_t>(layer) * rows.view.layerStride;
      for (std::size_t head = 0; head < static_cast<std::size_t>(shape.numKvHeads); ++head) {
        std::memcpy(out + i * tileBytes + head * headBytes, tile + head * rows.view.headStride, headBytes);
      }
    }
    session_->stream.copy(to + first * tileBytes, out, count * tileBytes);
    session_->stream.record(piece.copied);
  }
  StagedRows staged{view_, session_->uploads.push(tiles.data(), tiles.size())};
  staged.view.base = to;
  staged.view.pageStride = tileBytes;
  staged.view.layerStride = 0;
  return staged;
}

}  // namespace kvasir::gpu
