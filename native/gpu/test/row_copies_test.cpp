// gatherRows, scatterRows and copyPieces against memcpy, over the whole target.
#include "suite.h"

namespace kvasir::gpu::test {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes drawBytes(Random& random, std::size_t count) {
  Bytes bytes(count);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
  return bytes;
}

struct Shape {
  int rows;
  std::size_t rowBytes, xGap, outGap;
  int maxBlocks;
};

std::vector<Shape> shapes() {
  const std::size_t sizes[] = {16, 32, 48, 128, 160, 256, 1152, 2304, 4096, 16 * 513};
  const int rows[] = {0, 1, 3, 31, 64, 130};
  std::vector<Shape> all;
  for (std::size_t i = 0; i < 48; ++i) {
    all.push_back({rows[i % 6], sizes[(i + i / 6) % 10], i % 3 == 0 ? std::size_t{0} : 16 * (i % 5), i % 4 == 0 ? std::size_t{0} : 16 * (i % 7) + (i == 13 ? 65536u : 0u), i % 5 == 0 ? 2 : 0});
  }
  return all;
}

std::string nameOf(const Shape& s) {
  return std::to_string(s.rows) + " rows of " + std::to_string(s.rowBytes) + ", gaps " + std::to_string(s.xGap) + " and " +
         std::to_string(s.outGap) + ", at most " + std::to_string(s.maxBlocks) + " blocks";
}

void gather(Case& c, const Shape& s) {
  const std::size_t xStride = s.rowBytes + s.xGap, outStride = s.rowBytes + s.outGap;
  const int held = 1 + s.rows / 2;  // fewer than are asked for: ids repeat
  const Bytes x = drawBytes(c.random, xStride * static_cast<std::size_t>(held));
  std::vector<std::int32_t> ids;
  for (int r = 0; r < s.rows; ++r) ids.push_back(drawInt(c.random, 0, held - 1));
  Bytes want(outStride * static_cast<std::size_t>(s.rows), 0xCD);
  for (int r = 0; r < s.rows; ++r) {
    std::memcpy(&want[static_cast<std::size_t>(r) * outStride], &x[static_cast<std::size_t>(ids[static_cast<std::size_t>(r)]) * xStride], s.rowBytes);
  }
  const Buffer<std::uint8_t> from = c.upload(x), out = c.poisoned<std::uint8_t>(want.size());
  const Buffer<std::int32_t> list = c.upload(ids);
  const KvasirGatherRowsArgs args{from.get(), xStride, list.get(), s.rows, out.get(), outStride, s.rowBytes, s.maxBlocks};
  c.ok(c.gpu.gatherRows(c.stream, &args), "gatherRows");
  c.same(c.download(out), want, "out");
}

void scatter(Case& c, const Shape& s) {
  const std::size_t xStride = s.rowBytes + s.xGap, outStride = s.rowBytes + s.outGap;
  const int held = 2 + s.rows * 3 / 2;
  const Bytes x = drawBytes(c.random, xStride * static_cast<std::size_t>(s.rows));
  std::vector<std::int32_t> ids = drawDistinct(c.random, s.rows, held);
  for (std::int32_t& id : ids) {
    if (drawInt(c.random, 0, 7) == 0) id = -1;
  }
  Bytes want(outStride * static_cast<std::size_t>(held), 0xCD);
  for (int r = 0; r < s.rows; ++r) {
    const std::int32_t id = ids[static_cast<std::size_t>(r)];
    if (id >= 0) std::memcpy(&want[static_cast<std::size_t>(id) * outStride], &x[static_cast<std::size_t>(r) * xStride], s.rowBytes);
  }
  const Buffer<std::uint8_t> from = c.upload(x), out = c.poisoned<std::uint8_t>(want.size());
  const Buffer<std::int32_t> list = c.upload(ids);
  const KvasirScatterRowsArgs args{from.get(), xStride, list.get(), s.rows, out.get(), outStride, s.rowBytes, s.maxBlocks};
  c.ok(c.gpu.scatterRows(c.stream, &args), "scatterRows");
  c.same(c.download(out), want, "out");
}

// From mapped host memory on every other case, as a tier would be.
void pieces(Case& c, int count, std::size_t maxBytes, int maxBlocks, bool mapped) {
  std::vector<std::size_t> sizes;
  std::size_t total = 16;
  for (int i = 0; i < count; ++i) {
    sizes.push_back(i % 5 == 4 ? 0 : 16 * static_cast<std::size_t>(drawInt(c.random, 0, static_cast<int>(maxBytes / 16))));
    if (i == 0) sizes[0] = maxBytes;
    total += sizes.back() + 16;
  }
  const Bytes x = drawBytes(c.random, total);
  const Buffer<std::uint8_t> device = c.upload(x), out = c.poisoned<std::uint8_t>(total);
  void *host = nullptr, *seen = device.get();
  if (mapped) {
    c.ok(c.gpu.allocateHost(c.suite.device, total, &host, &seen), "allocateHost");
    std::memcpy(host, x.data(), total);
  }
  // Targets in the order of the list, sources in the other.
  Bytes want(total, 0xCD);
  std::vector<KvasirPiece> list;
  std::size_t to = 0, from = total;
  for (const std::size_t bytes : sizes) {
    from -= bytes + 16;
    list.push_back({static_cast<std::uint8_t*>(seen) + from, out.get() + to, bytes});
    if (bytes > 0) std::memcpy(&want[to], &x[from], bytes);
    to += bytes + 16;
  }
  const Buffer<KvasirPiece> described = c.upload(list);
  const KvasirCopyPiecesArgs args{described.get(), count, maxBytes, maxBlocks};
  c.ok(c.gpu.copyPieces(c.stream, &args), "copyPieces");
  const Bytes got = c.download(out);
  if (mapped) c.ok(c.gpu.releaseHost(c.suite.device, host), "releaseHost");
  c.same(got, want, "out");
}

}  // namespace

void tests::gatherRows(Suite& suite) {
  for (const Shape& shape : shapes()) suite.run("gatherRows", nameOf(shape), [&](Case& c) { gather(c, shape); });
}

void tests::scatterRows(Suite& suite) {
  for (const Shape& shape : shapes()) suite.run("scatterRows", nameOf(shape), [&](Case& c) { scatter(c, shape); });
}

void tests::copyPieces(Suite& suite) {
  const int counts[] = {0, 1, 2, 5, 40};
  const std::size_t sizes[] = {16, 112, 2048, 2064, 8192};
  int i = 0;
  for (const int count : counts) {
    for (const std::size_t bytes : sizes) {
      for (const int maxBlocks : {0, 3}) {
        const bool mapped = ++i % 2 == 0;
        const std::string name = std::to_string(count) + " pieces up to " + std::to_string(bytes) + " bytes, at most " +
                                 std::to_string(maxBlocks) + " blocks" + (mapped ? ", mapped" : "");
        suite.run("copyPieces", name, [&](Case& c) { pieces(c, count, bytes, maxBlocks, mapped); });
      }
    }
  }
}

}  // namespace kvasir::gpu::test
