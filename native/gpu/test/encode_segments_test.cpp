// encodeSegments against plain loops in float32, a token and a channel at a time: bits, over the whole index.
#include <algorithm>
#include <cmath>

#include "../../cpu/simd/half.h"
#include "suite.h"

namespace kvasir::gpu::test {
namespace {

struct Shape {
  int type, kvHeads, dim, codeBits, vectorBits, tokens;
  int longest = 40;      // segment
  int appended = 0;      // segments that come in a second call
  float scale = 1.0f;
  bool flat = false;     // steps of 0 and equal keys
};

std::string nameOf(const Shape& s) {
  char text[160];
  std::snprintf(text, sizeof(text), "%s %d x %d, %d bits and %d, %d tokens in segments of up to %d, %d later, about %g%s",
                s.type == KVASIR_F16 ? "f16" : "f32", s.kvHeads, s.dim, s.codeBits, s.vectorBits, s.tokens, s.longest, s.appended,
                static_cast<double>(s.scale), s.flat ? ", flat" : "");
  return text;
}

constexpr int kLayers = 2;

std::uint16_t above(float x) {
  if (x > 65504.0f) return 0x7c00;
  const std::uint16_t half = floatToHalf(x);
  return static_cast<std::uint16_t>(half + (halfToFloat(half) < x ? 1 : 0));
}

// One segment of one head, into the bytes of its index.
void encode(const Shape& s, const KvasirIndexLayout& layout, const std::vector<std::vector<float>>& keys, int segment, int start, int end,
            std::uint8_t* index) {
  const int dim = s.dim, padded = layout.paddedChannels;
  const auto basis = [&](int i, int n) {
    std::uint16_t half;
    std::memcpy(&half, index + 2 * (i * padded + n), 2);
    return halfToFloat(half);
  };
  std::vector<float> steps(static_cast<std::size_t>(padded)), zeros(steps), mean(static_cast<std::size_t>(dim), 0.0f);
  std::memcpy(steps.data(), index + layout.steps, steps.size() * 4);
  std::memcpy(zeros.data(), index + layout.zeros, zeros.size() * 4);
  float largest = 0.0f;
  for (int i = 0; i < dim; ++i) {
    float& sum = mean[static_cast<std::size_t>(i)];
    for (int token = start; token < end; ++token) sum += keys[static_cast<std::size_t>(token)][static_cast<std::size_t>(i)];
    sum /= static_cast<float>(end - start);
    largest = std::max(largest, std::fabs(sum));
  }
  const std::uint16_t half = s.vectorBits == 8 && largest > 0.0f ? above(largest / 127.0f) : 0;
  const float step = halfToFloat(half);
  std::memcpy(index + layout.meanSteps + 2 * segment, &half, 2);
  std::uint8_t* row = index + layout.means + segment / 32 * layout.meanVectors * 512 + segment % 32 * 16;
  for (int byte = 0; byte < 16 * layout.meanVectors; ++byte) row[byte / 16 * 512 + byte % 16] = 0;
  for (int i = 0; i < dim; ++i) {
    float& value = mean[static_cast<std::size_t>(i)];
    const int byte = i * s.vectorBits / 8;
    if (s.vectorBits == 16) {
      const std::uint16_t stored = floatToHalf(value);
      std::memcpy(row + byte / 16 * 512 + byte % 16, &stored, 2);
      value = halfToFloat(stored);
    } else {
      const float whole = step > 0.0f ? std::nearbyint(value / step) : 0.0f;
      row[byte / 16 * 512 + byte % 16] = static_cast<std::uint8_t>(static_cast<std::int8_t>(whole));
      value = whole * step;
    }
  }
  float radius = 0.0f;
  for (int token = start; token < end; ++token) {
    std::uint8_t* codes = index + layout.codes + token / 32 * layout.codeVectors * 512 + token % 32 * 16;
    for (int byte = 0; byte < 16 * layout.codeVectors; ++byte) codes[byte / 16 * 512 + byte % 16] = 0;
    std::vector<float> residual, level(static_cast<std::size_t>(dim), 0.0f);
    for (int i = 0; i < dim; ++i) residual.push_back(keys[static_cast<std::size_t>(token)][static_cast<std::size_t>(i)] - mean[static_cast<std::size_t>(i)]);
    for (int n = 0; n < layout.channels; ++n) {
      const int w4 = 8 * layout.words4, w2 = w4 + 16 * layout.words2, bits = n < w4 ? 4 : n < w2 ? 2 : 1;
      float along = 0.0f;
      for (int i = 0; i < dim; ++i) along += residual[static_cast<std::size_t>(i)] * basis(i, n);
      const float width = steps[static_cast<std::size_t>(n)], half = static_cast<float>(1 << (bits - 1));
      const float code = std::min(static_cast<float>((1 << bits) - 1), std::max(0.0f, std::floor(along / (width > 0.0f ? width : 1.0f)) + half));
      const float value = (code - zeros[static_cast<std::size_t>(n)]) * width;
      for (int i = 0; i < dim; ++i) level[static_cast<std::size_t>(i)] += value * basis(i, n);
      const int in = n < w4 ? n : n < w2 ? n - w4 : n - w2, perWord = 32 / bits, place = in % perWord;
      const int word = (n < w4 ? 0 : n < w2 ? layout.words4 : layout.words4 + layout.words2) + in / perWord;
      std::uint8_t& byte = codes[word / 4 * 512 + word % 4 * 4 + place % 4];
      byte = static_cast<std::uint8_t>(byte | static_cast<int>(code) << (place / 4 * bits));
    }
    float sums[16] = {}, total = 0.0f;
    for (int i = 0; i < dim; ++i) {
      const float distance = residual[static_cast<std::size_t>(i)] - level[static_cast<std::size_t>(i)];
      sums[i % 16] += distance * distance;
    }
    for (const float sum : sums) total += sum;
    radius = std::max(radius, total);
  }
  const std::uint16_t stored = above(std::sqrt(radius) * 1.00001f);
  std::memcpy(index + layout.radii + 2 * segment, &stored, 2);
}

void run(Case& c, const Shape& s) {
  std::vector<std::int32_t> ends, segmentOf;
  for (int end = 0; end < s.tokens;) {
    end = std::min(s.tokens, end + drawInt(c.random, 1, s.longest));
    ends.push_back(end);
    segmentOf.resize(static_cast<std::size_t>(end), static_cast<std::int32_t>(ends.size()) - 1);
  }
  const int segments = static_cast<int>(ends.size()), before = std::max(0, segments - s.appended), pages = (s.tokens + 15) / 16;
  const KvasirIndexShape shape = {s.dim, s.codeBits, s.vectorBits, s.kvHeads, s.tokens / 32 * 32 + 32, segments / 32 * 32 + 32};
  const KvasirIndexLayout layout = kvasirIndexLayout(&shape);
  KvasirKvView view{};
  const std::size_t elementBytes = s.type == KVASIR_F16 ? 2 : 4, rowBytes = static_cast<std::size_t>(s.dim) * elementBytes;
  view.valueStride = 16 * rowBytes;
  view.headStride = 2 * view.valueStride;
  view.layerStride = static_cast<std::size_t>(s.kvHeads) * view.headStride;
  view.pageStride = kLayers * view.layerStride;
  view.type = s.type;
  view.numKvHeads = s.kvHeads;
  view.headDim = s.dim;
  const std::vector<std::int32_t> table = drawDistinct(c.random, pages, pages);
  std::vector<std::uint8_t> cache(static_cast<std::size_t>(pages) * view.pageStride, 0xFF);
  std::vector<std::uint8_t> index(static_cast<std::size_t>(kLayers * s.kvHeads) * layout.bytes, 0xCD);
  std::vector<std::vector<std::vector<float>>> keys(static_cast<std::size_t>(kLayers * s.kvHeads));
  for (int h = 0; h < kLayers * s.kvHeads; ++h) {
    std::uint8_t* head = index.data() + static_cast<std::size_t>(h) * layout.bytes;
    const std::size_t padded = static_cast<std::size_t>(layout.paddedChannels);
    const std::vector<std::uint16_t> basis = drawHalves(c.random, static_cast<std::size_t>(s.dim) * padded, 1.0f / std::sqrt(static_cast<float>(s.dim)));
    std::vector<float> steps(padded, 0.0f), zeros(padded, 0.0f);
    for (int n = 0; n < layout.channels; ++n) {
      const int bits = n < 8 * layout.words4 ? 4 : n < 8 * layout.words4 + 16 * layout.words2 ? 2 : 1;
      steps[static_cast<std::size_t>(n)] = s.flat && n % 2 == 0 ? 0.0f : s.scale * (0.2f + 0.01f * static_cast<float>(drawInt(c.random, 0, 90)));
      zeros[static_cast<std::size_t>(n)] = static_cast<float>((1 << bits) - 1) * 0.5f;
    }
    std::memcpy(head, basis.data(), basis.size() * 2);
    std::memcpy(head + layout.steps, steps.data(), padded * 4);
    std::memcpy(head + layout.zeros, zeros.data(), padded * 4);
    for (int token = 0; token < s.tokens; ++token) {
      std::vector<float> key = s.flat ? std::vector<float>(static_cast<std::size_t>(s.dim), 0.0f) : drawNormal(c.random, static_cast<std::size_t>(s.dim), s.scale);
      std::uint8_t* row = cache.data() + static_cast<std::size_t>(table[static_cast<std::size_t>(token / 16)]) * view.pageStride +
                          static_cast<std::size_t>(h / s.kvHeads) * view.layerStride + static_cast<std::size_t>(h % s.kvHeads) * view.headStride +
                          static_cast<std::size_t>(token % 16) * rowBytes;
      for (std::size_t i = 0; i < key.size(); ++i) {
        const std::uint16_t half = floatToHalf(key[i]);
        if (s.type == KVASIR_F16) key[i] = halfToFloat(half), std::memcpy(row + 2 * i, &half, 2);
        else std::memcpy(row + 4 * i, &key[i], 4);
      }
      keys[static_cast<std::size_t>(h)].push_back(key);
    }
  }
  const auto deviceCache = c.upload(cache), deviceIndex = c.upload(index);
  const auto deviceTable = c.upload(table), deviceEnds = c.upload(ends);
  const auto deviceSegments = c.poisoned<std::int32_t>(segmentOf.size());
  for (int h = 0; h < kLayers * s.kvHeads; ++h) {
    for (int segment = 0; segment < segments; ++segment) {
      encode(s, layout, keys[static_cast<std::size_t>(h)], segment, segment == 0 ? 0 : ends[static_cast<std::size_t>(segment) - 1],
             ends[static_cast<std::size_t>(segment)], index.data() + static_cast<std::size_t>(h) * layout.bytes);
    }
  }
  KvasirEncodeSegmentsArgs args{};
  args.kv = view;
  args.kv.base = deviceCache.get();
  args.pages = deviceTable.get();
  args.numLayers = kLayers;
  args.shape = shape;
  args.index = deviceIndex.get();
  args.ends = deviceEnds.get();
  args.segmentOf = deviceSegments.get();
  args.numSegments = before;
  c.ok(c.gpu.encodeSegments(c.stream, &args), "encodeSegments");
  // What comes later, a layer at a time.
  args.firstSegment = before;
  args.numSegments = segments;
  args.numLayers = 1;
  for (args.firstLayer = 0; args.firstLayer < kLayers; ++args.firstLayer) c.ok(c.gpu.encodeSegments(c.stream, &args), "encodeSegments");
  c.same(c.download(deviceIndex), index, "index");
  c.same(c.download(deviceSegments), segmentOf, "segments of tokens");
}

}  // namespace

namespace tests {

void encodeSegments(Suite& suite) {
  std::vector<Shape> shapes;
  for (const int bits : {1, 2, 4}) {
    for (const int vectorBits : {8, 16}) {
      for (const int dim : {8, 32, 64, 80, 128}) shapes.push_back({KVASIR_F16, 2, dim, bits, vectorBits, dim > 64 ? 70 : 120});
      shapes.push_back({KVASIR_F32, 1, 20, bits, vectorBits, 90});
    }
  }
  for (const int tokens : {0, 1, 2, 5, 33}) shapes.push_back({KVASIR_F16, 1, 64, 2, 8, tokens, 4});
  shapes.push_back({KVASIR_F16, 2, 64, 2, 8, 150, 12, 5});
  shapes.push_back({KVASIR_F16, 1, 96, 2, 16, 100, 9, 100});
  shapes.push_back({KVASIR_F32, 1, 256, 4, 8, 40});
  shapes.push_back({KVASIR_F16, 1, 32, 2, 8, 300, 300});
  shapes.push_back({KVASIR_F32, 1, 32, 2, 16, 60, 20, 0, 1e-6f});
  shapes.push_back({KVASIR_F32, 1, 32, 2, 8, 60, 20, 0, 30000.0f});
  shapes.push_back({KVASIR_F32, 1, 32, 4, 8, 60, 20, 0, 1.0f, true});
  if (!suite.quick) {
    for (int i = 0; i < 12; ++i) shapes.push_back({i % 2, 2, 16 + 8 * i, 1 << i % 3, i % 2 == 0 ? 8 : 16, 400, 60, i});
  }
  for (const Shape& s : shapes) suite.run("encodeSegments", nameOf(s), [&](Case& c) { run(c, s); });
  suite.run("encodeSegments", "refuses what it cannot do", [](Case& c) {
    KvasirEncodeSegmentsArgs good{};
    good.kv.type = KVASIR_F16;
    good.kv.numKvHeads = 1;
    good.kv.headDim = 64;
    good.shape = {64, 2, 8, 1, 32, 32};
    c.ok(c.gpu.encodeSegments(c.stream, &good), "no segments");
    const auto refused = [&](const char* what, auto change) {
      KvasirEncodeSegmentsArgs args = good;
      change(args);
      c.check(c.gpu.encodeSegments(c.stream, &args) == KVASIR_GPU_INVALID, what);
    };
    refused("more segments than there is room for", [](KvasirEncodeSegmentsArgs& a) { a.numSegments = 33; });
    refused("segments backwards", [](KvasirEncodeSegmentsArgs& a) { a.firstSegment = 1; });
    refused("a negative layer", [](KvasirEncodeSegmentsArgs& a) { a.firstLayer = -1; });
    refused("an unknown type", [](KvasirEncodeSegmentsArgs& a) { a.kv.type = 2; });
    refused("other heads", [](KvasirEncodeSegmentsArgs& a) { a.shape.numKvHeads = 2; });
    refused("three bits", [](KvasirEncodeSegmentsArgs& a) { a.shape.codeBits = 3; });
    refused("a capacity of no whole tiles", [](KvasirEncodeSegmentsArgs& a) { a.shape.tokenCapacity = 40; });
  });
}

}  // namespace tests
}  // namespace kvasir::gpu::test
