// Rows between a device arena and host memory, in pieces: one is gathered while another is copied and a third put in place.
#include <algorithm>
#include <cstring>
#include <numeric>

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

std::vector<std::int32_t> ascending(int count) {
  std::vector<std::int32_t> rows(static_cast<std::size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

// Leaves nothing under way, whatever happens: what comes next uses the same memory.
struct Settled {
  const Stream &ops, &copies;
  ~Settled() {
    ops.settle();
    copies.settle();
  }
};

}  // namespace

// Rows of a load, each slot once.
struct DeviceArena::Moves {
  std::vector<std::int32_t> sources, slots, turns;

  int count() const { return static_cast<int>(slots.size()); }
};

// Of rows with one slot the last.
DeviceArena::Moves DeviceArena::movesOf(const std::int32_t* rowsOf, const std::int32_t* slots, int rows, const KeyTurns* turns) {
  lastOfSlot_.resize(static_cast<std::size_t>(shape.capacityPages) * kPageTokens);
  for (int r = 0; r < rows; ++r) lastOfSlot_[static_cast<std::size_t>(slots[r])] = r;
  Moves moves;
  for (int r = 0; r < rows; ++r) {
    if (lastOfSlot_[static_cast<std::size_t>(slots[r])] != r) continue;
    moves.sources.push_back(rowsOf[r]);
    moves.slots.push_back(slots[r]);
    if (turns != nullptr) moves.turns.push_back(turns->rowTurns[r]);
  }
  return moves;
}

// On the thread of loads. It waits for its own rows at the end, so that they stand once the job has ended; ops that wait for
// them on the device have gone on by then.
void DeviceArena::adopt(Context& context, int layer, const std::uint8_t* source, int sourceTokens,
                        const std::int32_t* rowsOf, const std::int32_t* slots, int rows, const KeyTurns* turns) {
  const Loader& loader = session_->loader;
  const KvView from = denseView(const_cast<std::uint8_t*>(source), sourceTokens, shape.type, shape.numKvHeads, shape.headDim);
  try {
    launchLoad(context, layer, from, movesOf(rowsOf, slots, rows, turns), turns);
    loads_.launched(layer, loader.places);
  } catch (...) {
    loader.settle();
    loads_.failed(layer);
    throw;
  }
  loader.places.synchronize();
}

// A cancelled load ends with whole pieces: what was copied is put in its place.
void DeviceArena::launchLoad(Context& context, int layer, const KvView& from, const Moves& moves, const KeyTurns* turns) {
  const int count = moves.count();
  const std::size_t bytesOfRow = 2 * static_cast<std::size_t>(shape.numKvHeads) * shape.rowBytes();
  const std::vector<std::int32_t> order = ascending(std::min(count, kRowsAtOnce));
  auto& [places, uploads, lanes] = session_->loader;
  lanes.reserve(kRowsAtOnce * bytesOfRow);
  uploads.reset();
  loads_.begin(layer, places);

  KvasirTurnRowsArgs args{};
  const std::int32_t* orderOnDevice = uploads.push(order.data(), order.size());
  const std::int32_t* slotsOnDevice = uploads.push(moves.slots.data(), moves.slots.size());
  const std::int32_t* turnsOnDevice = nullptr;
  if (turns != nullptr && count > 0) {
    const auto numTurns = static_cast<std::size_t>(*std::max_element(moves.turns.begin(), moves.turns.end()) + 1);
    const std::size_t pairs = numTurns * static_cast<std::size_t>(turns->rotaryDim / 2);
    args.cos = uploads.push(turns->cos, pairs);
    args.sin = uploads.push(turns->sin, pairs);
    args.pairing = turns->pairing == RopePairing::half ? KVASIR_PAIRS_HALF : KVASIR_PAIRS_INTERLEAVED;
    args.rotaryDim = turns->rotaryDim;
    turnsOnDevice = uploads.push(moves.turns.data(), moves.turns.size());
  }
  for (int first = 0, piece = 0; first < count && !context.cancelled(); first += kRowsAtOnce, ++piece) {
    const int some = std::min(kRowsAtOnce, count - first);
    Lanes::Lane& lane = lanes.at(piece);
    if (piece >= lanes.count()) {
      lane.copied.synchronize();
      lanes.stream.wait(lane.used);
    }
    const KvView staged = denseView(lane.host.data(), some, shape.type, shape.numKvHeads, shape.headDim);
    copyKv(context, {from, 0, moves.sources.data() + first}, {staged, 0, order.data()}, some, nullptr);
    lanes.stream.copy(lane.device.data(), lane.host.data(), static_cast<std::size_t>(some) * bytesOfRow);
    lanes.stream.record(lane.copied);
    places.wait(lane.copied);
    args.from = {onDevice(denseView(lane.device.data(), some, shape.type, shape.numKvHeads, shape.headDim)), 0, orderOnDevice};
    args.to = {view_, layer, slotsOnDevice + first};
    args.rows = some;
    args.rowTurns = turnsOnDevice != nullptr ? turnsOnDevice + first : nullptr;
    places.launch(&KvasirGpuV1::turnRows, "turnRows", args);
    places.record(lane.used);
  }
}

void DeviceArena::exportTo(Context& context, int layer, const std::int32_t* pages, int numTokens, std::uint8_t* out) {
  awaitLoads(layer);
  const std::size_t rowBytes = shape.rowBytes();
  const int parts = 2 * shape.numKvHeads;
  Lanes& lanes = session_->lanes;
  const Stream& stream = session_->stream;
  lanes.reserve(kRowsAtOnce * static_cast<std::size_t>(parts) * rowBytes);
  session_->uploads.reset();
  const Settled settled{stream, lanes.stream};
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
  // Copies do not know what became of the ops before them.
  stream.synchronize();
  lanes.stream.synchronize();
}

}  // namespace kvasir::gpu
