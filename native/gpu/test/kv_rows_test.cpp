// writeKv, readKv, compareKv and copyPages against plain loops.
#include <cmath>
#include <limits>

#include "stored_rows.h"

namespace kvasir::gpu::test {
namespace {

struct Shape {
  int type, heads, headDim, rows, gap;
};

std::string nameOf(const Shape& s) {
  return std::string(s.type == KVASIR_F16 ? "f16 " : "f32 ") + std::to_string(s.heads) + " x " + std::to_string(s.headDim) + ", " +
         std::to_string(s.rows) + " rows" + (s.gap > 0 ? ", apart" : "");
}

std::vector<Shape> shapes() {
  const int headDims[] = {64, 128, 80, 96, 32, 8, 256}, rows[] = {0, 1, 2, 17, 64, 131};
  std::vector<Shape> all;
  for (int i = 0; i < 44; ++i) {
    all.push_back({i % 2 == 0 ? KVASIR_F16 : KVASIR_F32, 1 + i % 3 + (i == 20 ? 6 : 0), headDims[i % 7], rows[(i + i / 6) % 6], i % 5 == 0 ? 48 : 0});
  }
  return all;
}

std::size_t rowFloats(const Shape& s) { return static_cast<std::size_t>(s.heads) * static_cast<std::size_t>(s.headDim); }

// Values that rounding and saturation decide, among others.
std::vector<float> drawRows(Random& random, std::size_t count) {
  const float special[] = {65504.0f, 65519.99f, 65520.0f, -65520.0f, 1e30f, -std::numeric_limits<float>::infinity(), 1.00048828125f, 1.0014648f,
                           5.9604645e-8f, 2.9802322e-8f, 8.9e-8f, 6.1e-5f, -0.0f, 1e-30f};
  std::vector<float> values = drawNormal(random, count, 3.0f);
  for (float& value : values) {
    if (drawInt(random, 0, 4) == 0) value = special[drawInt(random, 0, 13)];
  }
  return values;
}

void write(Case& c, const Shape& s) {
  const int pages = 2 + s.rows / 12;
  KvasirKvView view = storedView(s.type, s.heads, s.headDim, s.gap);
  const std::vector<std::uint8_t> before = drawStored(c.random, s.type, view.pageStride * static_cast<std::size_t>(pages));
  const std::vector<float> keys = drawRows(c.random, static_cast<std::size_t>(s.rows) * rowFloats(s)), values = drawRows(c.random, keys.size());
  std::vector<std::int32_t> slots = drawDistinct(c.random, s.rows, pages * 16);
  for (std::int32_t& slot : slots) {
    if (drawInt(c.random, 0, 9) == 0) slot = -1;
  }
  std::vector<std::uint8_t> want = before;
  for (int r = 0; r < s.rows; ++r) {
    const int slot = slots[static_cast<std::size_t>(r)];
    for (int head = 0; head < s.heads && slot >= 0; ++head) {
      const std::size_t at = static_cast<std::size_t>(r) * rowFloats(s) + static_cast<std::size_t>(head * s.headDim);
      for (int i = 0; i < s.headDim; ++i) {
        storeValue(&want[storedOffset(view, slot, head, false)], s.type, i, keys[at + static_cast<std::size_t>(i)]);
        storeValue(&want[storedOffset(view, slot, head, true)], s.type, i, values[at + static_cast<std::size_t>(i)]);
      }
    }
  }
  const Buffer<std::uint8_t> target = c.upload(before);
  const Buffer<float> keyRows = c.upload(keys), valueRows = c.upload(values);
  const Buffer<std::int32_t> list = c.upload(slots);
  view.base = target.get();
  const KvasirWriteKvArgs args{{view, kStoredLayer, list.get()}, keyRows.get(), valueRows.get(), s.rows};
  c.ok(c.gpu.writeKv(c.stream, &args), "writeKv");
  c.same(c.download(target), want, "target");
}

void read(Case& c, const Shape& s) {
  const int start = drawInt(c.random, 0, 40), end = start + s.rows, used = (end + 15) / 16, head = drawInt(c.random, 0, s.heads - 1);
  const bool values = drawInt(c.random, 0, 1) == 1;
  KvasirKvView view = storedView(s.type, s.heads, s.headDim, s.gap);
  const std::vector<std::uint8_t> held = drawStored(c.random, s.type, view.pageStride * static_cast<std::size_t>(used + 3));
  const std::vector<std::int32_t> pages = drawDistinct(c.random, used, used + 3);
  std::vector<float> want;
  for (int index = start; index < end; ++index) {
    const int slot = pages[static_cast<std::size_t>(index / 16)] * 16 + index % 16;
    for (int i = 0; i < s.headDim; ++i) want.push_back(storedValue(&held[storedOffset(view, slot, head, values)], s.type, i));
  }
  const Buffer<std::uint8_t> source = c.upload(held);
  const Buffer<std::int32_t> table = c.upload(pages);
  const Buffer<float> out = c.poisoned<float>(want.size());
  view.base = source.get();
  const KvasirReadKvArgs args{view, kStoredLayer, head, values ? 1 : 0, table.get(), start, end, out.get()};
  c.ok(c.gpu.readKv(c.stream, &args), "readKv");
  c.same(c.download(out), want, "out");
}

std::vector<float> compared(Case& c, const Shape& s, KvasirKvView view, const std::vector<float>& keys, const std::vector<float>& values,
                            const std::vector<std::int32_t>& slots) {
  const Buffer<float> keyRows = c.upload(keys), valueRows = c.upload(values);
  const Buffer<std::int32_t> list = c.upload(slots);
  const Buffer<float> out = c.poisoned<float>(2 * slots.size());
  const KvasirCompareKvArgs args{{view, kStoredLayer, list.get()}, keyRows.get(), valueRows.get(), static_cast<std::int32_t>(slots.size()), out.get()};
  c.check(keys.size() == slots.size() * rowFloats(s), "shape of the test");
  c.ok(c.gpu.compareKv(c.stream, &args), "compareKv");
  return c.download(out);
}

void compareRows(Case& c, const Shape& s) {
  const int pages = 2 + s.rows / 12;
  KvasirKvView view = storedView(s.type, s.heads, s.headDim, s.gap);
  // NaN wherever nobody asks.
  std::vector<std::uint8_t> held(view.pageStride * static_cast<std::size_t>(pages), 0xFF);
  const std::vector<float> keys = drawNormal(c.random, static_cast<std::size_t>(s.rows) * rowFloats(s)), values = drawNormal(c.random, keys.size(), 20.0f);
  const std::vector<std::int32_t> slots = drawDistinct(c.random, s.rows, pages * 16);
  std::vector<double> want;
  for (int r = 0; r < s.rows; ++r) {
    double sums[4] = {};
    for (int part = 0; part < 2; ++part) {
      for (int head = 0; head < s.heads; ++head) {
        std::uint8_t* row = &held[storedOffset(view, slots[static_cast<std::size_t>(r)], head, part == 1)];
        for (int i = 0; i < s.headDim; ++i) {
          const std::size_t at = static_cast<std::size_t>(r) * rowFloats(s) + static_cast<std::size_t>(head * s.headDim + i);
          const double x = static_cast<double>((part == 1 ? values : keys)[at]);
          storeValue(row, s.type, i, static_cast<float>(x) * (r % 3 == 0 ? 1.0f : 1.1f));
          const double apart = x - static_cast<double>(storedValue(row, s.type, i));
          sums[part] += apart * apart;
          sums[2 + part] += x * x;
        }
      }
    }
    want.push_back(std::sqrt(sums[0]) + std::sqrt(sums[1]));
    want.push_back(std::sqrt(sums[2]) + std::sqrt(sums[3]));
  }
  const Buffer<std::uint8_t> source = c.upload(held);
  view.base = source.get();
  const std::vector<float> got = compared(c, s, view, keys, values, slots);
  c.close(got, want, kDistances, "distances");
  if (s.rows == 0) return;
  const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(rowFloats(s));
  const std::vector<float> alone = compared(c, s, view, {keys.end() - row, keys.end()}, {values.end() - row, values.end()}, {slots.back()});
  c.same(alone, {got.end() - 2, got.end()}, "a row alone");
}

void pages(Case& c, int count, std::size_t pageBytes, std::size_t offset, std::size_t bytes, int maxBlocks) {
  const int held = 1 + count / 2, room = count + 3;  // source pages repeat
  const std::size_t fromStride = pageBytes + 16, toStride = pageBytes + 160;
  const std::vector<std::uint8_t> x = drawStored(c.random, KVASIR_F16, fromStride * static_cast<std::size_t>(held));
  const std::vector<std::uint8_t> before = drawStored(c.random, KVASIR_F16, toStride * static_cast<std::size_t>(room));
  std::vector<std::int32_t> fromPages;
  for (int i = 0; i < count; ++i) fromPages.push_back(drawInt(c.random, 0, held - 1));
  const std::vector<std::int32_t> toPages = drawDistinct(c.random, count, room);
  std::vector<std::uint8_t> want = before;
  for (int i = 0; i < count; ++i) {
    const std::size_t from = static_cast<std::size_t>(fromPages[static_cast<std::size_t>(i)]) * fromStride + offset;
    if (bytes > 0) std::memcpy(&want[static_cast<std::size_t>(toPages[static_cast<std::size_t>(i)]) * toStride + offset], &x[from], bytes);
  }
  const Buffer<std::uint8_t> source = c.upload(x), target = c.upload(before);
  const Buffer<std::int32_t> fromList = c.upload(fromPages), toList = c.upload(toPages);
  const KvasirCopyPagesArgs args{{source.get(), fromStride, fromList.get()}, {target.get(), toStride, toList.get()}, count, offset, bytes, maxBlocks};
  c.ok(c.gpu.copyPages(c.stream, &args), "copyPages");
  c.same(c.download(target), want, "target");
}

// Each of them refused for its own reason alone.
template <class Args>
void refused(Case& c, int (*op)(KvasirStream*, const Args*), const Args& args, const char* what) {
  c.check(op(c.stream, &args) == KVASIR_GPU_INVALID, what);
  c.check(c.gpu.lastError()[0] != '\0', "no text");
}

}  // namespace

void tests::writeKv(Suite& suite) {
  for (const Shape& shape : shapes()) suite.run("writeKv", nameOf(shape), [&](Case& c) { write(c, shape); });
  suite.run("writeKv", "refuses what it does not do", [](Case& c) {
    KvasirWriteKvArgs args{};
    args.to.kv = storedView(KVASIR_F16, 1, 64, 0);
    args.rows = -1;
    refused(c, c.gpu.writeKv, args, "a negative number of rows");
    args.rows = 1;
    args.to.kv.headDim = 12;
    refused(c, c.gpu.writeKv, args, "rows of no whole 16 bytes");
    args.to.kv = storedView(2, 1, 64, 0);
    refused(c, c.gpu.writeKv, args, "an unknown type");
  });
}

void tests::readKv(Suite& suite) {
  for (const Shape& shape : shapes()) suite.run("readKv", nameOf(shape), [&](Case& c) { read(c, shape); });
  suite.run("readKv", "refuses what it does not do", [](Case& c) {
    KvasirReadKvArgs args{};
    args.kv = storedView(KVASIR_F16, 2, 64, 0);
    args.start = 3;
    args.end = 2;
    refused(c, c.gpu.readKv, args, "rows that end before they start");
    args.end = 4;
    args.kvHead = 2;
    refused(c, c.gpu.readKv, args, "a head that is not there");
    args.kvHead = 0;
    args.kv.headDim = 4;
    refused(c, c.gpu.readKv, args, "rows of 8 bytes");
  });
}

void tests::compareKv(Suite& suite) {
  for (const Shape& shape : shapes()) suite.run("compareKv", nameOf(shape), [&](Case& c) { compareRows(c, shape); });
  suite.run("compareKv", "refuses what it does not do", [](Case& c) {
    KvasirCompareKvArgs args{};
    args.at.kv = storedView(KVASIR_F16, 1, 64, 0);
    args.rows = -1;
    refused(c, c.gpu.compareKv, args, "a negative number of rows");
    args.rows = 1;
    args.at.kv.headDim = 2048;
    refused(c, c.gpu.compareKv, args, "rows of 4096 bytes");
  });
}

void tests::copyPages(Suite& suite) {
  const int counts[] = {0, 1, 3, 20};
  const std::size_t sizes[] = {16, 4096, 12288, 8208, 40960};
  int i = 0;
  for (const int count : counts) {
    for (const std::size_t size : sizes) {
      for (const bool whole : {true, false}) {
        const int maxBlocks = ++i % 3 == 0 ? 2 : 0;
        const std::size_t offset = whole ? 0 : size / 4 / 16 * 16, bytes = whole ? size : size / 2 / 16 * 16;
        const std::string name = std::to_string(count) + " pages of " + std::to_string(size) + ", from " + std::to_string(offset) + " on " +
                                 std::to_string(bytes) + ", at most " + std::to_string(maxBlocks) + " blocks";
        suite.run("copyPages", name, [&](Case& c) { pages(c, count, size, offset, bytes, maxBlocks); });
      }
    }
  }
  suite.run("copyPages", "refuses what it does not do", [](Case& c) {
    KvasirCopyPagesArgs args{};
    args.from.pageStride = args.to.pageStride = 4096;
    args.count = 1;
    args.bytes = 8;
    refused(c, c.gpu.copyPages, args, "half a vector");
    args.bytes = 4096;
    args.offset = 16;
    refused(c, c.gpu.copyPages, args, "more than a page");
    args.offset = 0;
    args.count = -1;
    refused(c, c.gpu.copyPages, args, "a negative number of pages");
  });
}

}  // namespace kvasir::gpu::test
