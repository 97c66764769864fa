// Rows between a device arena and host memory, in pieces: one is copied while the one before is turned or put in place.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <unordered_map>

#include "device_arena.h"

namespace kvasir::gpu {
namespace {

constexpr int kRowsAtOnce = 512;

KvasirKvView onDevice(const KvView& view) {
  return {view.base,
          view.pageStride,
          view.layerStride,
          view.headStride,
          view.valueStride,
          view.type == KvType::f16 ? KVASIR_F16 : KVASIR_F32,
          view.numKvHeads,
          view.headDim};
}

struct Rows {
  std::vector<std::int32_t> sources, slots, turns;
};

// Of rows with one slot the last.
Rows lastOfEach(const std::int32_t* rowsOf, const std::int32_t* slots, const std::int32_t* turns, int rows) {
  std::unordered_map<std::int32_t, int> last;
  for (int r = 0; r < rows; ++r) last[slots[r]] = r;
  Rows kept;
  for (int r = 0; r < rows; ++r) {
    if (last[slots[r]] != r) continue;
    kept.sources.push_back(rowsOf[r]);
    kept.slots.push_back(slots[r]);
    if (turns != nullptr) kept.turns.push_back(turns[r]);
  }
  return kept;
}

std::vector<std::int32_t> ascending(int count) {
  std::vector<std::int32_t> rows(static_cast<std::size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

}  // namespace

void DeviceArena::adopt(Context& context, int layer, const std::uint8_t* source, int sourceTokens,
                        const std::int32_t* rowsOf, const std::int32_t* slots, int rows, const KeyTurns* turns) {
  const Rows kept = lastOfEach(rowsOf, slots, turns != nullptr ? turns->rowTurns : nullptr, rows);
  const int count = static_cast<int>(kept.slots.size());
  const std::size_t bytesOfRow = 2 * static_cast<std::size_t>(shape.numKvHeads) * shape.rowBytes();
  const KvView from = denseView(const_cast<std::uint8_t*>(source), sourceTokens, shape.type, shape.numKvHeads, shape.headDim);
  const std::vector<std::int32_t> order = ascending(std::min(count, kRowsAtOnce));
  Lanes& lanes = session_->lanes;
  const Stream& stream = session_->stream;
  lanes.reserve(kRowsAtOnce * bytesOfRow);
  session_->uploads.reset();

  KvasirTurnRowsArgs args{};
  const std::int32_t* orderOnDevice = session_->uploads.push(order.data(), order.size());
  const std::int32_t* slotsOnDevice = session_->uploads.push(kept.slots.data(), kept.slots.size());
  const std::int32_t* turnsOnDevice = nullptr;
  if (turns != nullptr && count > 0) {
    const auto numTurns = static_cast<std::size_t>(*std::max_element(kept.turns.begin(), kept.turns.end()) + 1);
    const std::size_t pairs = numTurns * static_cast<std::size_t>(turns->rotaryDim / 2);
    args.cos = session_->uploads.push(turns->cos, pairs);
    args.sin = session_->uploads.push(turns->sin, pairs);
    args.pairing = turns->pairing == RopePairing::half ? KVASIR_PAIRS_HALF : KVASIR_PAIRS_INTERLEAVED;
    args.rotaryDim = turns->rotaryDim;
    turnsOnDevice = session_->uploads.push(kept.turns.data(), kept.turns.size());
  }
  for (int first = 0, piece = 0; first < count && !context.cancelled(); first += kRowsAtOnce, ++piece) {
    const int some = std::min(kRowsAtOnce, count - first);
    Lanes::Lane& lane = lanes.at(piece);
    if (piece > 1) lane.used.synchronize();
    const KvView staged = denseView(lane.host.data(), some, shape.type, shape.numKvHeads, shape.headDim);
    copyKv(context, {from, 0, kept.sources.data() + first}, {staged, 0, order.data()}, some, nullptr);
    lanes.stream.copy(lane.device.data(), lane.host.data(), static_cast<std::size_t>(some) * bytesOfRow);
    lanes.stream.record(lane.copied);
    stream.wait(lane.copied);
    args.from = {onDevice(denseView(lane.device.data(), some, shape.type, shape.numKvHeads, shape.headDim)), 0, orderOnDevice};
    args.to = {view_, layer, slotsOnDevice + first};
    args.rows = some;
    args.rowTurns = turnsOnDevice != nullptr ? turnsOnDevice + first : nullptr;
    stream.launch(&KvasirGpuV1::turnRows, "turnRows", args);
    stream.record(lane.used);
  }
  stream.synchronize();
}

void DeviceArena::exportTo(Context& context, int layer, const std::int32_t* pages, int numTokens, std::uint8_t* out) {
  const std::size_t rowBytes = shape.rowBytes();
  const int parts = 2 * shape.numKvHeads;
  Lanes& lanes = session_->lanes;
  const Stream& stream = session_->stream;
  lanes.reserve(kRowsAtOnce * static_cast<std::size_t>(parts) * rowBytes);
  session_->uploads.reset();
  std::vector<std::int32_t> slots(static_cast<std::size_t>(numTokens));
  for (int i = 0; i < numTokens; ++i) slots[static_cast<std::size_t>(i)] = pages[i / kPageTokens] * kPageTokens + i % kPageTokens;
  const std::vector<std::int32_t> order = ascending(std::min(numTokens, kRowsAtOnce));
  const std::int32_t* slotsOnDevice = session_->uploads.push(slots.data(), slots.size());
  const std::int32_t* orderOnDevice = session_->uploads.push(order.data(), order.size());

  const auto deliver = [&](int piece) {
    const int first = piece * kRowsAtOnce, some = std::min(kRowsAtOnce, numTokens - first);
    Lanes::Lane& lane = lanes.at(piece);
    lane.copied.synchronize();
    const std::size_t bytes = static_cast<std::size_t>(some) * rowBytes;
    for (std::size_t part = 0; part < static_cast<std::size_t>(parts); ++part) {
      std::uint8_t* to = out + (part * static_cast<std::size_t>(numTokens) + static_cast<std::size_t>(first)) * rowBytes;
      std::memcpy(to, lane.host.data() + part * bytes, bytes);
    }
  };
  int piece = 0;
  for (int first = 0; first < numTokens && !context.cancelled(); first += kRowsAtOnce, ++piece) {
    const int some = std::min(kRowsAtOnce, numTokens - first);
    Lanes::Lane& lane = lanes.at(piece);
    KvasirTurnRowsArgs args{};
    args.from = {view_, layer, slotsOnDevice + first};
    args.to = {onDevice(denseView(lane.device.data(), some, shape.type, shape.numKvHeads, shape.headDim)), 0, orderOnDevice};
    args.rows = some;
    stream.launch(&KvasirGpuV1::turnRows, "turnRows", args);
    stream.record(lane.used);
    lanes.stream.wait(lane.used);
    lanes.stream.copy(lane.host.data(), lane.device.data(), static_cast<std::size_t>(some * parts) * rowBytes);
    lanes.stream.record(lane.copied);
    if (piece > 0) deliver(piece - 1);
  }
  if (piece > 0) deliver(piece - 1);
  lanes.stream.synchronize();
}

}  // namespace kvasir::gpu
