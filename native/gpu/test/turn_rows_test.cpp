// turnRows against plain loops, to the bit and over the whole target.
#include <cmath>

#include "../context/vocabulary.h"
#include "stored_rows.h"

namespace kvasir::gpu::test {
namespace {

struct Shape {
  int type, heads, headDim, rotaryDim, pairing, rows;
  int padding;         // bytes between tiles that nothing may touch, a multiple of 16
  bool turns, repeats; // repeats: several rows with one slot
  // Tokens of a donor by a map: few source rows, each taken many times and turned by its own angle.
  bool maps = false;
};

std::string nameOf(const Shape& s) {
  char text[160];
  std::snprintf(text, sizeof(text), "%s %d x %d, rotary %d %s, %d rows%s%s%s", s.type == KVASIR_F16 ? "f16" : "f32", s.heads, s.headDim,
                s.rotaryDim, s.pairing == KVASIR_PAIRS_HALF ? "half" : "interleaved", s.rows, s.padding > 0 ? ", apart" : "",
                s.turns ? "" : ", straight", s.repeats ? ", repeated" : s.maps ? ", mapped" : "");
  return text;
}

KvasirKvView viewOf(const Shape& s) { return storedView(s.type, s.heads, s.headDim, s.padding); }

void run(Case& c, const Shape& s) {
  const int sourcePages = 5 + s.rows / 32, targetPages = 3 + s.rows / 16, numTurns = s.maps ? s.rows + 1 : 3, pairs = s.rotaryDim / 2;
  KvasirKvView from = viewOf(s), to = viewOf(s);
  const std::vector<std::uint8_t> source = drawStored(c.random, s.type, from.pageStride * static_cast<std::size_t>(sourcePages));
  const std::vector<std::uint8_t> before = drawStored(c.random, s.type, to.pageStride * static_cast<std::size_t>(targetPages));
  std::vector<std::int32_t> fromSlots, rowTurns, toSlots = drawDistinct(c.random, s.rows, targetPages * 16);
  for (int r = 0; r < s.rows; ++r) {
    fromSlots.push_back(drawInt(c.random, 0, s.maps ? 2 : sourcePages * 16 - 1));
    rowTurns.push_back(s.maps ? r : drawInt(c.random, -1, numTurns - 1));
    if (s.repeats && r > 0 && drawInt(c.random, 0, 2) == 0) toSlots[static_cast<std::size_t>(r)] = toSlots[static_cast<std::size_t>(drawInt(c.random, 0, r - 1))];
  }
  std::vector<float> cosines, sines;
  for (const float angle : drawNormal(c.random, static_cast<std::size_t>(numTurns * pairs), 10.0f)) {
    cosines.push_back(std::cos(angle));
    sines.push_back(std::sin(angle));
  }

  std::vector<std::uint8_t> want = before;
  const std::size_t rowBytes = storedRowBytes(s.type, s.headDim);
  for (int r = 0; r < s.rows; ++r) {
    for (int head = 0; head < s.heads; ++head) {
      const int fromSlot = fromSlots[static_cast<std::size_t>(r)], toSlot = toSlots[static_cast<std::size_t>(r)];
      std::memcpy(&want[storedOffset(to, toSlot, head, true)], &source[storedOffset(from, fromSlot, head, true)], rowBytes);
      const std::uint8_t* key = &source[storedOffset(from, fromSlot, head, false)];
      std::uint8_t* out = &want[storedOffset(to, toSlot, head, false)];
      std::memcpy(out, key, rowBytes);
      const int turn = s.turns ? rowTurns[static_cast<std::size_t>(r)] : -1;
      for (int i = 0; turn >= 0 && i < pairs; ++i) {
        const bool half = s.pairing == KVASIR_PAIRS_HALF;
        const int first = half ? i : 2 * i, second = half ? i + pairs : 2 * i + 1;
        const float cos = cosines[static_cast<std::size_t>(turn * pairs + i)], sin = sines[static_cast<std::size_t>(turn * pairs + i)];
        const float a = storedValue(key, s.type, first), b = storedValue(key, s.type, second);
        storeValue(out, s.type, first, a * cos - b * sin);
        storeValue(out, s.type, second, b * cos + a * sin);
      }
    }
  }

  const Buffer<std::uint8_t> sourceBuffer = c.upload(source), targetBuffer = c.upload(before);
  const Buffer<std::int32_t> fromBuffer = c.upload(fromSlots), toBuffer = c.upload(toSlots), turnBuffer = c.upload(rowTurns);
  const Buffer<float> cosBuffer = c.upload(cosines), sinBuffer = c.upload(sines);
  const Buffer<std::int32_t> winners = c.poisoned<std::int32_t>(static_cast<std::size_t>(targetPages * 16));
  from.base = sourceBuffer.get();
  to.base = targetBuffer.get();
  const KvasirTurnRowsArgs args{{from, kStoredLayer, fromBuffer.get()},
                                {to, kStoredLayer, toBuffer.get()},
                                s.rows,
                                cosBuffer.get(),
                                sinBuffer.get(),
                                s.turns ? turnBuffer.get() : nullptr,
                                s.pairing,
                                s.rotaryDim,
                                s.repeats ? winners.get() : nullptr,
                                s.rows % 2 == 0 ? 0 : 4};
  c.ok(c.gpu.turnRows(c.stream, &args), "turnRows");
  c.same(c.download(targetBuffer), want, "target");
}

}  // namespace

void tests::turnRows(Suite& suite) {
  const int headDims[] = {64, 128, 80, 96, 8, 256}, rows[] = {0, 1, 7, 33, 64, 250};
  int i = 0;
  for (const int type : {KVASIR_F16, KVASIR_F32}) {
    for (const int pairing : {KVASIR_PAIRS_HALF, KVASIR_PAIRS_INTERLEAVED}) {
      for (const int headDim : headDims) {
        for (const bool partial : {false, true}) {
          ++i;
          // Partial rotations that are no whole vectors among them.
          const int rotaryDim = partial ? most(2, headDim / 2 - 2 * (i % 5)) : headDim;
          const Shape shape = {type, 1 + i % 3, headDim, rotaryDim, pairing, rows[i * 5 % 6], i % 4 == 0 ? 48 : 0, i % 7 != 0, i % 3 == 0};
          suite.run("turnRows", nameOf(shape), [&](Case& c) { run(c, shape); });
        }
      }
    }
  }
  for (const int headDim : headDims) {
    for (const int type : {KVASIR_F16, KVASIR_F32}) {
      const Shape shape = {type, 2, headDim, headDim, headDim % 3 == 0 ? KVASIR_PAIRS_INTERLEAVED : KVASIR_PAIRS_HALF, 97, 0, true, false, true};
      suite.run("turnRows", nameOf(shape), [&](Case& c) { run(c, shape); });
    }
  }
  suite.run("turnRows", "refuses what it does not do", [](Case& c) {
    KvasirTurnRowsArgs args{};
    args.rows = 1;
    args.from.kv = args.to.kv = viewOf({KVASIR_F16, 1, 64, 64, 0, 1, 0, false, false});
    args.to.kv.headDim = 128;
    c.check(c.gpu.turnRows(c.stream, &args) == KVASIR_GPU_INVALID, "views of two shapes");
    args.from.kv = args.to.kv = viewOf({KVASIR_F16, 1, 7, 6, 0, 1, 0, false, false});
    c.check(c.gpu.turnRows(c.stream, &args) == KVASIR_GPU_INVALID, "rows of no whole 16 bytes");
    args.from.kv = args.to.kv = viewOf({KVASIR_F16, 1, 64, 64, 0, 1, 0, false, false});
    const std::int32_t turn = 0;
    args.rowTurns = &turn;
    args.rotaryDim = 66;
    c.check(c.gpu.turnRows(c.stream, &args) == KVASIR_GPU_INVALID, "more rotated values than there are");
  });
}

}  // namespace kvasir::gpu::test
