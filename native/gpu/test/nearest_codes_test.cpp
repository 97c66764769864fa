// nearestCodes against brute force: every index and distance.
#include <algorithm>
#include <cstdlib>
#include <utility>

#include "suite.h"

namespace kvasir::gpu::test {
namespace {

constexpr int kAnyDistance = 0x7fffffff;

struct Shape {
  int rows, words, queries, count, maxDistance;
  int levels;            // of a byte: few make ties, which go to the lower index
  bool descends = false; // each row nearer than those before it: all of them must be taken up once
};

std::string nameOf(const Shape& s, int distance) {
  char text[160];
  std::snprintf(text, sizeof(text), "%s, %d rows of %d words, %d queries, %d of each%s, %d levels%s", distance == KVASIR_DISTANCE_L1 ? "L1" : "Hamming",
                s.rows, s.words, s.queries, s.count, s.maxDistance == kAnyDistance ? "" : ", bounded", s.levels, s.descends ? ", descending" : "");
  return text;
}

std::vector<std::uint8_t> drawCodes(Random& random, int rows, const Shape& s) {
  std::vector<std::uint8_t> codes(static_cast<std::size_t>(rows * s.words * 8));
  for (std::uint8_t& byte : codes) byte = static_cast<std::uint8_t>(drawInt(random, 0, s.levels - 1));
  return codes;
}

int distanceOf(int distance, const std::uint8_t* a, const std::uint8_t* b, int bytes) {
  int sum = 0;
  for (int i = 0; i < bytes; ++i) {
    sum += distance == KVASIR_DISTANCE_HAMMING ? __builtin_popcount(static_cast<unsigned>(a[i] ^ b[i])) : std::abs(a[i] - b[i]);
  }
  return sum;
}

void run(Case& c, const Shape& s, int distance) {
  const int bytes = s.words * 8;
  std::vector<std::uint8_t> codes = drawCodes(c.random, s.rows, s), queries = drawCodes(c.random, s.queries, s);
  for (int row = 0; s.descends && row < s.rows; ++row) {
    // So many bytes are as far as can be from a query of zeros.
    const int far = (s.rows - 1 - row) * bytes / s.rows;
    for (int i = 0; i < bytes; ++i) codes[static_cast<std::size_t>(row * bytes + i)] = i < far ? 255 : 0;
    std::fill(queries.begin(), queries.end(), std::uint8_t{0});
  }
  std::vector<std::int32_t> wantIndices, wantDistances;
  for (int q = 0; q < s.queries; ++q) {
    std::vector<std::pair<int, int>> all;
    for (int row = 0; row < s.rows; ++row) {
      const int apart = distanceOf(distance, &codes[static_cast<std::size_t>(row * bytes)], &queries[static_cast<std::size_t>(q * bytes)], bytes);
      if (apart <= s.maxDistance) all.emplace_back(apart, row);
    }
    std::sort(all.begin(), all.end());
    all.resize(static_cast<std::size_t>(s.count), {-1, -1});
    for (const auto& [apart, row] : all) {
      wantIndices.push_back(row);
      wantDistances.push_back(apart);
    }
  }
  const Buffer<std::uint8_t> table = c.upload(codes), asked = c.upload(queries);
  const Buffer<std::int32_t> indices = c.poisoned<std::int32_t>(wantIndices.size()), distances = c.poisoned<std::int32_t>(wantIndices.size());
  const std::size_t needed = kvasirNearestCodesBytes(s.rows, s.queries, s.count);
  const Buffer<std::uint8_t> workspace = c.poisoned<std::uint8_t>(needed);
  const KvasirNearestCodesArgs args{distance, s.words, table.get(), s.rows, asked.get(), s.queries, s.count, s.maxDistance,
                                    indices.get(), distances.get(), workspace.get(), needed};
  c.ok(c.gpu.nearestCodes(c.stream, &args), "nearestCodes");
  c.same(c.download(distances), wantDistances, "distances");
  c.same(c.download(indices), wantIndices, "indices");
}

}  // namespace

void tests::nearestCodes(Suite& suite) {
  std::vector<Shape> shapes = {
      {2100, 4, 3, 16, kAnyDistance, 256},       {3300, 2, 1, 200, kAnyDistance, 2}, {2100, 1, 9, 3, kAnyDistance, 2},
      {300, 4, 40, 16, kAnyDistance, 256},       {700, 16, 2, 64, kAnyDistance, 256, true}, {700, 16, 2, 256, kAnyDistance, 256, true},
      {2500, 16, 2, 5, kAnyDistance, 256, true}, {100, 64, 3, 8, kAnyDistance, 256}, {60, 512, 2, 8, kAnyDistance, 256},
      {100, 4, 5, 0, kAnyDistance, 4}};
  const int rows[] = {0, 1, 31, 64, 65, 129, 200}, words[] = {1, 2, 3, 4, 8}, counts[] = {1, 2, 16, 64, 65, 100, 256};
  for (int i = 0; i < 35; ++i) {
    const int queries[] = {0, 1, 7, 8, 9, 33};
    shapes.push_back({rows[i % 7], words[i % 5], queries[(i + i / 7) % 6], counts[(i + i / 5) % 7], i % 4 == 0 ? 3 * words[i % 5] : kAnyDistance, 2 + i % 3});
  }
  for (const Shape& shape : shapes) {
    for (const int distance : {KVASIR_DISTANCE_HAMMING, KVASIR_DISTANCE_L1}) {
      suite.run("nearestCodes", nameOf(shape, distance), [&](Case& c) { run(c, shape, distance); });
    }
  }
  suite.run("nearestCodes", "refuses what it does not do", [](Case& c) {
    const KvasirNearestCodesArgs good{KVASIR_DISTANCE_L1, 1, nullptr, 4000, nullptr, 1, 1, 0, nullptr, nullptr, nullptr, kvasirNearestCodesBytes(4000, 1, 1)};
    const auto refused = [&](KvasirNearestCodesArgs args, const char* what) { c.check(c.gpu.nearestCodes(c.stream, &args) == KVASIR_GPU_INVALID, what); };
    KvasirNearestCodesArgs args = good;
    args.distance = 2;
    refused(args, "an unknown distance");
    args = good;
    args.words = 513;
    refused(args, "codes that are too long");
    args = good;
    args.count = 257;
    refused(args, "more of each query than there is room for");
    args = good;
    args.maxDistance = -1;
    refused(args, "a negative distance");
    args = good;
    args.numQueries = -1;
    refused(args, "a negative number of queries");
    args = good;
    --args.workspaceBytes;
    refused(args, "too small a workspace");
  });
}

}  // namespace kvasir::gpu::test
