#include "transfer.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "../cpu/simd/half.h"

namespace kvasir {
namespace {

// Rows that go through write() at once: whole pages of a prompt are written whole.
constexpr int kRowsAtOnce = 256;

std::vector<std::int32_t> ascending(int count) {
  std::vector<std::int32_t> rows(static_cast<std::size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

// Where rows from `first` on are cut, at the end of a page if there is one near.
int endOfPiece(const std::int32_t* slots, int first, int rows) {
  int end = std::min(rows, first + kRowsAtOnce);
  const int most = std::min(rows, end + kPageTokens);
  while (end < most && slots[end] / kPageTokens == slots[end - 1] / kPageTokens) ++end;
  return end;
}

// Rows [count] of a dense view as write() takes them, [count][numKvHeads][headDim].
void widen(const KvView& dense, bool values, int count, float* out) {
  const std::size_t headDim = static_cast<std::size_t>(dense.headDim), heads = static_cast<std::size_t>(dense.numKvHeads);
  for (std::size_t head = 0; head < heads; ++head) {
    const std::uint8_t* row = dense.base + head * dense.headStride + (values ? dense.valueStride : 0);
    for (std::size_t r = 0; r < static_cast<std::size_t>(count); ++r) {
      float* to = out + (r * heads + head) * headDim;
      if (dense.type == KvType::f32) {
        std::memcpy(to, reinterpret_cast<const float*>(row) + r * headDim, headDim * sizeof(float));
      } else {
        const std::uint16_t* from = reinterpret_cast<const std::uint16_t*>(row) + r * headDim;
        for (std::size_t i = 0; i < headDim; ++i) to[i] = halfToFloat(from[i]);
      }
    }
  }
}

}  // namespace

void Arena::adopt(Context& context, int layer, const std::uint8_t* source, int sourceTokens, const std::int32_t* rowsOf,
                  const std::int32_t* slots, int rows, const KeyTurns* turns) {
  adoptRows(context, *this, layer, source, sourceTokens, rowsOf, slots, rows, turns);
}

void Arena::exportTo(Context& context, int layer, const std::int32_t* pages, int numTokens, std::uint8_t* out) {
  exportRows(context, *this, layer, pages, numTokens, out);
}

void adoptRows(Context& context, Arena& arena, int layer, const std::uint8_t* source, int sourceTokens,
               const std::int32_t* rowsOf, const std::int32_t* slots, int rows, const KeyTurns* turns) {
  const ArenaShape& shape = arena.shape;
  const SlotRows from{denseView(const_cast<std::uint8_t*>(source), sourceTokens, shape.type, shape.numKvHeads, shape.headDim),
                      0, rowsOf};
  if (const KvView* kv = arena.writable()) {
    copyKv(context, from, {*kv, layer, slots}, rows, turns);
    return;
  }
  const int most = kRowsAtOnce + kPageTokens;
  const std::size_t rowValues = static_cast<std::size_t>(shape.numKvHeads) * static_cast<std::size_t>(shape.headDim);
  std::vector<std::uint8_t> turned(most * 2 * static_cast<std::size_t>(shape.numKvHeads) * shape.rowBytes());
  std::vector<float> keys(most * rowValues), values(most * rowValues);
  const std::vector<std::int32_t> order = ascending(most);
  for (int first = 0; first < rows;) {
    const int end = endOfPiece(slots, first, rows), count = end - first;
    const KvView staged = denseView(turned.data(), most, shape.type, shape.numKvHeads, shape.headDim);
    KeyTurns own{};
    if (turns != nullptr) {
      own = *turns;
      own.rowTurns += first;
    }
    copyKv(context, {from.kv, 0, rowsOf + first}, {staged, 0, order.data()}, count, turns != nullptr ? &own : nullptr);
    if (context.cancelled()) return;
    widen(staged, false, count, keys.data());
    widen(staged, true, count, values.data());
    arena.write(context, layer, keys.data(), values.data(), slots + first, count);
    first = end;
  }
}

void exportRows(Context& context, Arena& arena, int layer, const std::int32_t* pages, int numTokens, std::uint8_t* out) {
  const ArenaShape& shape = arena.shape;
  const KvView dense = denseView(out, numTokens, shape.type, shape.numKvHeads, shape.headDim);
  if (const KvView* kv = arena.view()) {
    std::vector<std::int32_t> slots(static_cast<std::size_t>(numTokens));
    for (int i = 0; i < numTokens; ++i) slots[static_cast<std::size_t>(i)] = pages[i / kPageTokens] * kPageTokens + i % kPageTokens;
    const std::vector<std::int32_t> order = ascending(numTokens);
    copyKv(context, {*kv, layer, slots.data()}, {dense, 0, order.data()}, numTokens, nullptr);
    return;
  }
  const std::size_t headDim = static_cast<std::size_t>(shape.headDim);
  std::vector<float> rows(kRowsAtOnce * headDim);
  for (int part = 0; part < 2 * shape.numKvHeads; ++part) {
    const bool values = part % 2 == 1;
    std::uint8_t* to = out + static_cast<std::size_t>(part) * dense.valueStride;
    for (int first = 0; first < numTokens && !context.cancelled(); first += kRowsAtOnce) {
      const int end = std::min(numTokens, first + kRowsAtOnce);
      const std::size_t count = static_cast<std::size_t>(end - first) * headDim;
      arena.readRows(layer, part / 2, values, pages, first, end, rows.data());
      if (shape.type == KvType::f32) {
        std::memcpy(to, rows.data(), count * sizeof(float));
      } else {
        // They come from float16, so nothing is rounded.
        for (std::size_t i = 0; i < count; ++i) reinterpret_cast<std::uint16_t*>(to)[i] = floatToHalf(rows[i]);
      }
      to += count * (shape.type == KvType::f16 ? 2 : 4);
    }
  }
}

void compareRows(Context& context, Arena& arena, int layer, const float* keys, const float* values,
                 const std::int32_t* slots, int rows, float* out) {
  if (const KvView* kv = arena.view()) {
    compareKv(context, *kv, layer, keys, values, slots, rows, out);
    return;
  }
  const ArenaShape& shape = arena.shape;
  const std::size_t headDim = static_cast<std::size_t>(shape.headDim);
  const std::size_t rowValues = static_cast<std::size_t>(shape.numKvHeads) * headDim;
  std::vector<float> held(2 * kRowsAtOnce * rowValues);
  const KvView staged = denseView(reinterpret_cast<std::uint8_t*>(held.data()), kRowsAtOnce, KvType::f32,
                                  shape.numKvHeads, shape.headDim);
  const std::vector<std::int32_t> order = ascending(kRowsAtOnce);
  for (int first = 0; first < rows && !context.cancelled(); first += kRowsAtOnce) {
    const int count = std::min(rows - first, kRowsAtOnce);
    for (int r = 0; r < count;) {
      // Neighbours of one page.
      const int start = r, page = slots[first + r] / kPageTokens, offset = slots[first + r] % kPageTokens;
      while (++r < count && slots[first + r] == slots[first + r - 1] + 1 && slots[first + r] / kPageTokens == page) {
      }
      for (int part = 0; part < 2 * shape.numKvHeads; ++part) {
        const std::size_t row = static_cast<std::size_t>(part) * kRowsAtOnce + static_cast<std::size_t>(start);
        arena.readRows(layer, part / 2, part % 2 == 1, &page, offset, offset + r - start, held.data() + row * headDim);
      }
    }
    const std::size_t at = static_cast<std::size_t>(first) * rowValues;
    compareKv(context, staged, 0, keys + at, values + at, order.data(), count, out + 2 * first);
  }
}

}  // namespace kvasir
