// A tiered cache as plain loops: what bringRows, forgetPages and writeTiered do to memory, tables and counts, one row after
// another.
#pragma once

#include <string>
#include <vector>

#include "attention_data.h"

namespace kvasir::gpu::test {

struct TierShape {
  int numKvHeads, group, headDim, numPages, numSlots;
  bool blocks;
  int rowsAUnit() const { return blocks ? 16 : 1; }
  int numUnits() const { return numPages * numKvHeads * (blocks ? 1 : 16); }
  std::size_t rowBytes() const { return 2 * static_cast<std::size_t>(headDim); }
  std::size_t slotBytes() const { return kvasirHotLayerBytes(numSlots, blocks ? 1 : 0, headDim); }
};

class TierModel {
 public:
  // Where a K row lies: in the slots of its layer, or with all rows.
  struct Place {
    bool hot;
    std::size_t offset;
  };
  struct Layer {
    std::vector<std::int32_t> places;
    std::vector<std::uint32_t> units, stamps;
    std::vector<std::uint8_t> rows;
    KvasirHotState state{};
  };

  TierModel(const TierShape& s, const KvasirKvView& view, std::vector<std::uint8_t> bytes) : shape(s), view_(view), bytes(std::move(bytes)) {
    for (int layer = 0; layer < kLayers; ++layer) {
      Layer own;
      own.places.assign(static_cast<std::size_t>(s.numUnits()), 0);
      own.units.assign(static_cast<std::size_t>(s.numSlots), 0);
      own.stamps.assign(static_cast<std::size_t>(s.numSlots), 0);
      own.rows.assign(s.slotBytes(), 0xCD);
      layers.push_back(own);
    }
  }

  // The K rows of all lists, one after another.
  std::vector<Place> bring(int at, const std::vector<std::vector<std::int32_t>>& pages, const RunLists& lists) {
    if (pages.empty()) return {};
    Layer& layer = layers[static_cast<std::size_t>(at)];
    layer.state.now += 2;
    const int numSequences = static_cast<int>(pages.size()), rowsOfSequence = lists.rows() / numSequences;
    std::vector<Place> all;
    struct Need {
      std::size_t to;
      int row;
    };
    std::vector<Need> needs;
    std::uint64_t direct = 0;
    for (int s = 0; s < numSequences; ++s) {
      long long wanted = 0;
      for (int list = s * rowsOfSequence; list < (s + 1) * rowsOfSequence; ++list) wanted += unitsOf(lists, list);
      for (int list = s * rowsOfSequence; list < (s + 1) * rowsOfSequence; ++list) {
        const int head = list % rowsOfSequence / (rowsOfSequence / shape.numKvHeads);
        int page = -1;
        for (const int index : lists.indices(list)) {
          const int row = (pages[static_cast<std::size_t>(s)][static_cast<std::size_t>(index / 16)] * shape.numKvHeads + head) * 16 + index % 16;
          const std::int32_t place = layer.places[static_cast<std::size_t>(unitOf(row))];
          const bool counts = !shape.blocks || page != index / 16;
          page = index / 16;
          if (place > 0) {
            layer.stamps[static_cast<std::size_t>(place - 1)] = layer.state.now | 1;
            layer.state.hits += counts ? 1 : 0;
            all.push_back({true, slotOffset(place - 1, row % 16)});
          } else if (wanted <= shape.numSlots) {
            layer.state.misses += counts ? 1 : 0;
            needs.push_back({all.size(), row});
            all.push_back({});
          } else {
            ++direct;
            all.push_back({false, storedOffset(at, row)});
          }
        }
      }
    }
    int brought = 0;
    for (const Need& need : needs) {
      std::int32_t& place = layer.places[static_cast<std::size_t>(unitOf(need.row))];
      if (place == 0) {
        const int slot = take(layer, unitOf(need.row));
        if (slot >= 0) {
          ++brought;
          copyUnit(at, slot, need.row);
        }
      }
      if (place == 0) ++direct;
      all[need.to] = place > 0 ? Place{true, slotOffset(place - 1, need.row % 16)} : Place{false, storedOffset(at, need.row)};
    }
    layer.state.movedRows += static_cast<std::uint64_t>(brought * shape.rowsAUnit()) + direct;
    layer.state.overflows += direct > 0 ? 1 : 0;
    layer.state.brought = brought;
    return all;
  }

  void forget(int page) {
    for (Layer& layer : layers) {
      for (int unit = page * shape.numKvHeads * 16 / shape.rowsAUnit(); unit < (page + 1) * shape.numKvHeads * 16 / shape.rowsAUnit(); ++unit) {
        std::int32_t& place = layer.places[static_cast<std::size_t>(unit)];
        if (place == 0) continue;
        layer.units[static_cast<std::size_t>(place - 1)] = 0;
        --layer.state.filled;
        place = 0;
      }
    }
  }

  // keys, values [rows][numKvHeads][headDim] f32.
  void write(int at, const std::vector<float>& keys, const std::vector<float>& values, const std::vector<std::int32_t>& slots) {
    Layer& layer = layers[static_cast<std::size_t>(at)];
    for (std::size_t r = 0; r < slots.size(); ++r) {
      for (int head = 0; head < shape.numKvHeads && slots[r] >= 0; ++head) {
        const int row = (slots[r] / 16 * shape.numKvHeads + head) * 16 + slots[r] % 16;
        const std::int32_t place = layer.places[static_cast<std::size_t>(unitOf(row))];
        for (int part = 0; part < 2; ++part) {
          const std::vector<float>& from = part == 0 ? keys : values;
          const std::size_t first = (r * static_cast<std::size_t>(shape.numKvHeads) + static_cast<std::size_t>(head)) * static_cast<std::size_t>(shape.headDim);
          const std::size_t behind = static_cast<std::size_t>(part) * 16 * shape.rowBytes();
          for (int i = 0; i < shape.headDim; ++i) {
            const std::uint16_t half = floatToHalf(from[first + static_cast<std::size_t>(i)]);
            std::memcpy(&bytes[storedOffset(at, row) + behind + 2 * static_cast<std::size_t>(i)], &half, 2);
            if (place > 0) std::memcpy(&layer.rows[slotOffset(place - 1, row % 16) + behind + 2 * static_cast<std::size_t>(i)], &half, 2);
          }
        }
      }
    }
  }

  const TierShape shape;

 private:
  const KvasirKvView view_;

 public:
  std::vector<std::uint8_t> bytes;  // all rows
  std::vector<Layer> layers;

 private:
  int unitOf(int row) const { return row / shape.rowsAUnit(); }

  std::size_t storedOffset(int layer, int row) const {
    const std::size_t tile = static_cast<std::size_t>(row / 16), heads = static_cast<std::size_t>(shape.numKvHeads);
    return tile / heads * view_.pageStride + static_cast<std::size_t>(layer) * view_.layerStride + tile % heads * view_.headStride +
           static_cast<std::size_t>(row % 16) * shape.rowBytes();
  }
  std::size_t slotOffset(int slot, int r) const {
    const std::size_t group = static_cast<std::size_t>(shape.blocks ? slot : slot / 16), at = static_cast<std::size_t>(shape.blocks ? r : slot % 16);
    return (group * 32 + at) * shape.rowBytes();
  }

  long long unitsOf(const RunLists& lists, int list) const {
    long long units = 0;
    int page = -1;
    for (const int index : lists.indices(list)) {
      units += !shape.blocks || page != index / 16 ? 1 : 0;
      page = index / 16;
    }
    return units;
  }

  void copyUnit(int layer, int slot, int row) {
    const int first = row - row % shape.rowsAUnit();
    for (int r = first; r < first + shape.rowsAUnit(); ++r) {
      for (const std::size_t behind : {std::size_t{0}, 16 * shape.rowBytes()}) {
        std::memcpy(&layers[static_cast<std::size_t>(layer)].rows[slotOffset(slot, r % 16) + behind], &bytes[storedOffset(layer, r) + behind], shape.rowBytes());
      }
    }
  }

  // Second chance, one slot after another.
  int take(Layer& layer, int unit) {
    int slot = -1;
    const bool full = layer.state.filled == shape.numSlots;
    for (int tries = 0; tries < 2 * shape.numSlots && slot < 0; ++tries) {
      const std::size_t hand = static_cast<std::size_t>(layer.state.hand);
      std::uint32_t& stamp = layer.stamps[hand];
      const bool mayGo = full && (stamp & ~1u) != layer.state.now;
      if (layer.units[hand] == 0 || (mayGo && (stamp & 1) == 0)) slot = layer.state.hand;
      else if (mayGo) stamp &= ~1u;
      layer.state.hand = (layer.state.hand + 1) % shape.numSlots;
    }
    if (slot < 0) return -1;
    const std::size_t at = static_cast<std::size_t>(slot);
    if (layer.units[at] != 0) layer.places[layer.units[at] - 1] = 0;
    else ++layer.state.filled;
    layer.units[at] = static_cast<std::uint32_t>(unit) + 1;
    layer.stamps[at] = layer.state.now;
    layer.places[static_cast<std::size_t>(unit)] = slot + 1;
    return slot;
  }
};

}  // namespace kvasir::gpu::test
