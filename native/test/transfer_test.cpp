// Rows that move between caches and rows that are compared, for each instruction set, against plain loops: every byte of
// the target counts, also those that nothing may touch.
#include "../cpu/simd/half.h"
#include "attention_cache.h"
#include "attention_check.h"
#include "kvasir/kv_transfer.h"
#include "test_context.h"

using namespace kvasir;
using namespace kvasir::test;

namespace {

Checks check;

// [page][layer][head][K|V][16][headDim] with any bits, aligned as an arena is.
class Pages {
 public:
  Pages(Random& random, const Shape& shape, int pages) : view(viewOf(shape)) {
    bytes = view.pageStride * static_cast<std::size_t>(pages);
    view.base = reinterpret_cast<std::uint8_t*>(memory_.get(bytes));
    fill(random, view.base, bytes, shape.type);
  }

  // Finite numbers of all sizes.
  static void fill(Random& random, std::uint8_t* at, std::size_t bytes, KvType type) {
    if (type == KvType::f16) {
      for (std::size_t i = 0; i < bytes / 2; ++i) {
        const unsigned bits = static_cast<unsigned>(random());
        reinterpret_cast<std::uint16_t*>(at)[i] = static_cast<std::uint16_t>((bits & 0x7c00u) == 0x7c00u ? bits & 0xbfffu : bits);
      }
      return;
    }
    std::normal_distribution<float> normal;
    for (std::size_t i = 0; i < bytes / 4; ++i) reinterpret_cast<float*>(at)[i] = normal(random);
  }

  KvView view;
  std::size_t bytes = 0;

 private:
  test::Memory memory_;
};

float valueAt(const KvView& kv, const std::uint8_t* row, int i) {
  return kv.type == KvType::f16 ? halfToFloat(reinterpret_cast<const std::uint16_t*>(row)[i]) : reinterpret_cast<const float*>(row)[i];
}

void setAt(const KvView& kv, std::uint8_t* row, int i, float x) {
  if (kv.type == KvType::f16) reinterpret_cast<std::uint16_t*>(row)[i] = floatToHalf(x);
  else reinterpret_cast<float*>(row)[i] = x;
}

std::uint8_t* rowOf(const SlotRows& rows, int r, int head, bool values) {
  const KvView& kv = rows.kv;
  const std::size_t rowBytes = kv.valueStride == 0 ? 0 : static_cast<std::size_t>(kv.headDim) * (kv.type == KvType::f16 ? 2 : 4);
  return kv.base + static_cast<std::size_t>(rows.slots[r] / kPageTokens) * kv.pageStride +
         static_cast<std::size_t>(rows.layer) * kv.layerStride + static_cast<std::size_t>(head) * kv.headStride +
         (values ? kv.valueStride : 0) + static_cast<std::size_t>(rows.slots[r] % kPageTokens) * rowBytes;
}

void copyPlainly(const SlotRows& from, const SlotRows& to, int rows, const KeyTurns* turns) {
  const std::size_t rowBytes = static_cast<std::size_t>(to.kv.headDim) * (to.kv.type == KvType::f16 ? 2 : 4);
  for (int r = 0; r < rows; ++r) {
    for (int head = 0; head < to.kv.numKvHeads; ++head) {
      std::memcpy(rowOf(to, r, head, true), rowOf(from, r, head, true), rowBytes);
      const std::uint8_t* key = rowOf(from, r, head, false);
      std::uint8_t* out = rowOf(to, r, head, false);
      std::memcpy(out, key, rowBytes);
      if (turns == nullptr || turns->rowTurns[r] < 0) continue;
      const int pairs = turns->rotaryDim / 2;
      for (int i = 0; i < pairs; ++i) {
        const bool half = turns->pairing == RopePairing::half;
        const int first = half ? i : 2 * i, second = half ? i + pairs : 2 * i + 1;
        const float c = turns->cos[turns->rowTurns[r] * pairs + i], s = turns->sin[turns->rowTurns[r] * pairs + i];
        const float a = valueAt(to.kv, key, first), b = valueAt(to.kv, key, second);
        setAt(to.kv, out, first, a * c - b * s);
        setAt(to.kv, out, second, b * c + a * s);
      }
    }
  }
}

void testCopies(const NamedIsa& isa, Random& random) {
  TestContext one(isa.isa, 1), two(isa.isa, 2);
  const int headDims[] = {64, 128, 80, 96, 33, 7, 2, 32};
  for (int round = 0; round < 64; ++round) {
    // Some that are large enough to go past the caches.
    const bool large = round % 4 == 0;
    Shape shape = {large ? 3 : drawInt(random, 1, 3), 1, large ? headDims[round / 4 % 4] : headDims[drawInt(random, 0, 7)],
                   round % 5 == 4 ? KvType::f32 : KvType::f16};
    const int pages = large ? 160 : drawInt(random, 1, 6), tokens = large ? 2500 : drawInt(random, 1, 90);
    Pages target(random, shape, pages), copy(random, shape, pages);
    std::memcpy(copy.view.base, target.view.base, target.bytes);
    const std::size_t rowBytes = target.view.valueStride / kPageTokens;
    std::vector<std::uint8_t> source(2 * static_cast<std::size_t>(tokens * shape.numKvHeads) * rowBytes);
    Pages::fill(random, source.data(), source.size(), shape.type);
    const int count = large ? 2500 : drawInt(random, 0, 120), numTurns = drawInt(random, 1, 4);
    const int order = drawInt(random, 0, 2);  // in order, in runs, any
    std::vector<std::int32_t> rows, slots, rowTurns;
    for (int r = 0; r < count; ++r) {
      const bool jumps = order == 2 || r == 0 || (order == 1 && drawInt(random, 0, 20) == 0);
      rows.push_back(jumps ? drawInt(random, 0, tokens - 1) : (rows.back() + 1) % tokens);
      slots.push_back(jumps && order > 0 ? drawInt(random, 0, pages * kPageTokens - 1) : (r == 0 ? 0 : slots.back() + 1) % (pages * kPageTokens));
      rowTurns.push_back(jumps ? drawInt(random, -1, numTurns - 1) : rowTurns.back());
    }
    const int whole = shape.headDim / 2 * 2, rotaryDim = drawInt(random, 0, 1) ? whole : 2 * drawInt(random, 1, whole / 2);
    const std::vector<float> angles = drawNormal(random, static_cast<std::size_t>(numTurns * rotaryDim / 2), 30.0f);
    std::vector<float> cos, sin;
    for (const float angle : angles) {
      cos.push_back(std::cos(angle));
      sin.push_back(std::sin(angle));
    }
    const KeyTurns turns{cos.data(), sin.data(), round % 2 ? RopePairing::half : RopePairing::interleaved, rotaryDim, rowTurns.data()};
    const KeyTurns* given = drawInt(random, 0, 4) == 0 ? nullptr : &turns;
    const SlotRows from{denseView(source.data(), tokens, shape.type, shape.numKvHeads, shape.headDim), 0, rows.data()};
    copyPlainly(from, {copy.view, 1, slots.data()}, count, given);
    copyKv(round % 3 ? two : one, from, {target.view, 1, slots.data()}, count, given);
    check(std::memcmp(copy.view.base, target.view.base, target.bytes) == 0, "rows copied and turned", isa.name, round);

    // Back again, to a dense view.
    std::vector<std::uint8_t> back(source.size()), want(source.size());
    const std::vector<std::int32_t> some(slots.begin(), slots.begin() + std::min(count, tokens));
    const SlotRows stored{target.view, 1, some.data()};
    std::vector<std::int32_t> places;
    for (int i = 0; i < static_cast<int>(some.size()); ++i) places.push_back(i);
    const KvView wantView = denseView(want.data(), tokens, shape.type, shape.numKvHeads, shape.headDim),
                 backView = denseView(back.data(), tokens, shape.type, shape.numKvHeads, shape.headDim);
    copyPlainly(stored, {wantView, 0, places.data()}, static_cast<int>(some.size()), nullptr);
    copyKv(two, stored, {backView, 0, places.data()}, static_cast<int>(some.size()), nullptr);
    check(back == want, "rows copied out", isa.name, round);
  }
}

void testDistances(const NamedIsa& isa, Random& random) {
  TestContext one(isa.isa, 1), two(isa.isa, 2);
  for (int headDim : {64, 128, 80, 33, 7, 1}) {
    for (const KvType type : {KvType::f16, KvType::f32}) {
      const Shape shape = {drawInt(random, 1, 3), 1, headDim, type};
      const int rows = drawInt(random, 1, 200);
      const Cache cache(one, random, shape, {rows});
      const std::size_t size = static_cast<std::size_t>(rows * shape.numKvHeads * headDim);
      const std::vector<float> keys = drawNormal(random, size), values = drawNormal(random, size, 3.0f);
      std::vector<std::int32_t> slots;
      for (int index = 0; index < rows; ++index) slots.push_back(cache.pages[static_cast<std::size_t>(index / kPageTokens)] * kPageTokens + index % kPageTokens);
      std::vector<float> got(2 * static_cast<std::size_t>(rows), NAN), again = got;
      compareKv(one, cache.view, shape.layer, keys.data(), values.data(), slots.data(), rows, got.data());
      compareKv(two, cache.view, shape.layer, keys.data(), values.data(), slots.data(), rows, again.data());
      check(sameBits(got, again), "threads give the same distances", isa.name);
      for (int r = 0; r < rows; ++r) {
        double apart[2] = {0.0, 0.0}, whole[2] = {0.0, 0.0};
        for (int head = 0; head < shape.numKvHeads; ++head) {
          for (int i = 0; i < headDim; ++i) {
            const std::size_t at = static_cast<std::size_t>((r * shape.numKvHeads + head) * headDim + i);
            for (int part = 0; part < 2; ++part) {
              const double x = (part ? values : keys)[at], y = cache.at(part == 1, 0, r, head, i);
              apart[part] += (x - y) * (x - y);
              whole[part] += x * x;
            }
          }
        }
        const double want[] = {std::sqrt(apart[0]) + std::sqrt(apart[1]), std::sqrt(whole[0]) + std::sqrt(whole[1])};
        for (int i = 0; i < 2; ++i) check(std::fabs(got[static_cast<std::size_t>(2 * r + i)] - want[i]) <= 1e-6 * want[i], "distance", isa.name, want[i]);
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned seed = argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 1u;
  for (const NamedIsa& isa : availableIsas()) {
    Random random(seed);
    testCopies(isa, random);
    testDistances(isa, random);
    std::printf("%s done\n", isa.name);
  }
  return check.report("transfer");
}
