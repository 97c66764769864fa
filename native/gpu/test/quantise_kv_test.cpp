// quantiseKv by what its codes promise: scales and zeros that are the tightest there are, no value off by more than half a
// step, and not a byte beside the tiles touched.
#include "attention_data.h"

namespace kvasir::gpu::test {
namespace {

struct Shape {
  int type, heads, headDim, pages, numLayers, padding;
  float scale;
  bool flat;  // channels and tokens of one value
  int bad;    // values that are not finite
};

double half(const std::uint8_t* at) {
  std::uint16_t bits;
  std::memcpy(&bits, at, 2);
  return static_cast<double>(halfToFloat(bits));
}

// The finite float16 next to x, towards minus or plus infinity.
double below(double x) {
  std::uint16_t bits = floatToHalf(static_cast<float>(x));
  if (x == 0.0) return -0x1p-24;
  bits = static_cast<std::uint16_t>(x < 0.0 ? bits + 1 : bits - 1);
  return static_cast<double>(halfToFloat(bits));
}
double above(double x) { return -below(-x); }

void run(Case& c, const Shape& s) {
  AttentionCache cache(c.random, {s.type, s.heads, 1, s.headDim, {16 * s.pages}, s.padding, s.scale});
  for (int index = 0; index < 16 * s.pages; ++index) {
    for (int head = 0; head < s.heads; ++head) {
      if (s.flat) {
        cache.put(0, index, head, false, std::vector<float>(static_cast<std::size_t>(s.headDim), 1.5f));
        cache.put(0, index, head, true, std::vector<float>(static_cast<std::size_t>(s.headDim), 0.0f));
      }
    }
  }
  for (int i = 0; i < s.bad; ++i) {
    const std::size_t at = cache.offsetOf(0, 3 * i, 0, i % 2 == 1) + 16 * static_cast<std::size_t>(i % 2);
    if (s.type == KVASIR_F16) cache.bytes[at] = 0x00, cache.bytes[at + 1] = 0x7c;
    else std::memset(&cache.bytes[at], 0xFF, 4);
  }

  const std::size_t tile = kvasirI8TileBytes(s.headDim), gap = static_cast<std::size_t>(s.padding);
  KvasirI8View view = {nullptr, 0, static_cast<std::size_t>(s.heads) * (tile + gap), tile + gap, s.heads, s.headDim};
  view.pageStride = kLayers * view.layerStride;
  const std::vector<std::int32_t> toPages = drawDistinct(c.random, s.pages, s.pages + 2);
  const Buffer<std::uint8_t> from = c.upload(cache.bytes);
  const Buffer<std::uint8_t> to = c.poisoned<std::uint8_t>(view.pageStride * static_cast<std::size_t>(s.pages + 2));
  const Buffer<std::int32_t> fromPages = c.upload(cache.pages), toBuffer = c.upload(toPages);
  const Buffer<std::uint32_t> notFinite = c.upload(std::vector<std::uint32_t>{7});
  KvasirQuantiseKvArgs args{};
  args.from = cache.view;
  args.from.base = from.get();
  args.to = view;
  args.to.base = to.get();
  args.firstLayer = s.numLayers == kLayers ? 0 : kLayer;
  args.numLayers = s.numLayers;
  args.fromPages = fromPages.get();
  args.toPages = toBuffer.get();
  args.pages = s.pages;
  args.notFinite = notFinite.get();
  c.ok(c.gpu.quantiseKv(c.stream, &args), "quantiseKv");
  std::vector<std::uint8_t> got = c.download(to);
  // The first layer of the pages holds nothing but NaN.
  const std::uint32_t others = s.numLayers == kLayers ? static_cast<std::uint32_t>(32 * s.headDim * s.heads * s.pages) : 0;
  c.same(c.download(notFinite), {7 + static_cast<std::uint32_t>(s.bad) + others}, "values that are not finite");

  for (int page = 0; page < s.pages; ++page) {
    for (int head = 0; head < s.heads; ++head) {
      std::uint8_t* base = &got[static_cast<std::size_t>(toPages[static_cast<std::size_t>(page)]) * view.pageStride + kLayer * view.layerStride +
                                static_cast<std::size_t>(head) * view.headStride];
      std::vector<std::vector<double>> keys, values;
      for (int token = 0; token < 16; ++token) {
        keys.push_back(cache.row(0, 16 * page + token, head, false));
        values.push_back(cache.row(0, 16 * page + token, head, true));
        for (double& x : keys.back()) x = std::isfinite(x) ? x : 0.0;
        for (double& x : values.back()) x = std::isfinite(x) ? x : 0.0;
      }
      for (int i = 0; i < s.headDim; ++i) {
        const double scale = half(base + 32 * s.headDim + 2 * i), zero = half(base + 34 * s.headDim + 2 * i);
        double low = keys[0][static_cast<std::size_t>(i)], high = low;
        for (const std::vector<double>& key : keys) {
          low = std::min(low, key[static_cast<std::size_t>(i)]);
          high = std::max(high, key[static_cast<std::size_t>(i)]);
        }
        c.check(zero <= low && above(zero) > low, "zero of channel " + std::to_string(i));
        c.check(255.0 * scale >= (high - zero) * (1.0 - 1e-6) && (scale == 0.0 || 255.0 * below(scale) < (high - zero) * (1.0 + 1e-6)), "scale of channel " + std::to_string(i));
        for (int token = 0; token < 16; ++token) {
          const double error = zero + scale * base[token * s.headDim + i] - keys[static_cast<std::size_t>(token)][static_cast<std::size_t>(i)];
          c.check(std::fabs(error) <= 0.5 * scale * (1.0 + 1e-3), "K of token " + std::to_string(token) + ", channel " + std::to_string(i));
        }
      }
      for (int token = 0; token < 16; ++token) {
        const double scale = half(base + 36 * s.headDim + 2 * token);
        double most = 0.0;
        for (const double x : values[static_cast<std::size_t>(token)]) most = std::max(most, std::fabs(x));
        c.check(127.0 * scale >= most * (1.0 - 1e-6) && (scale == 0.0 || 127.0 * below(scale) < most * (1.0 + 1e-6)), "scale of token " + std::to_string(token));
        for (int i = 0; i < s.headDim; ++i) {
          const int code = static_cast<std::int8_t>(base[(16 + token) * s.headDim + i]);
          const double error = scale * code - values[static_cast<std::size_t>(token)][static_cast<std::size_t>(i)];
          c.check(code >= -127 && std::fabs(error) <= 0.5 * scale * (1.0 + 1e-3), "V of token " + std::to_string(token) + ", channel " + std::to_string(i));
        }
      }
    }
  }
  // What is left once the tiles are taken out.
  for (int page = 0; page < s.pages; ++page) {
    for (int layer = args.firstLayer; layer < args.firstLayer + s.numLayers; ++layer) {
      for (int head = 0; head < s.heads; ++head) {
        std::memset(&got[static_cast<std::size_t>(toPages[static_cast<std::size_t>(page)]) * view.pageStride + static_cast<std::size_t>(layer) * view.layerStride +
                         static_cast<std::size_t>(head) * view.headStride], 0xCD, tile);
      }
    }
  }
  c.same(got, std::vector<std::uint8_t>(got.size(), 0xCD), "bytes beside the tiles");
}

}  // namespace

void tests::quantiseKv(Suite& suite) {
  const int headDims[] = {64, 128, 32, 96, 256};
  const float scales[] = {1.0f, 1e-6f, 3e3f, 0.01f, 30.0f};
  int i = 0;
  for (const int type : {KVASIR_F16, KVASIR_F32}) {
    for (const int pages : {0, 1, 2, 5}) {
      for (const int headDim : headDims) {
        ++i;
        const Shape s = {type, 1 + i % 3, headDim, pages, i % 4 == 0 ? 2 : 1, i % 3 == 0 ? 32 : 0, scales[i % 5], i % 7 == 3, pages > 0 && i % 5 == 1 ? 3 : 0};
        suite.run("quantiseKv", (type == KVASIR_F16 ? "f16 " : "f32 ") + std::to_string(s.heads) + " x " + std::to_string(headDim) + ", " +
                                    std::to_string(pages) + " pages, size " + std::to_string(s.scale) + (s.flat ? ", flat" : "") + (s.bad > 0 ? ", not finite" : ""),
                  [&](Case& c) { run(c, s); });
      }
    }
  }
  suite.run("quantiseKv", "refuses what it does not do", [](Case& c) {
    KvasirQuantiseKvArgs good{};
    good.from = viewOf({KVASIR_F16, 2, 1, 64, {16}});
    good.to = {nullptr, 8192, 4096, 2560, 2, 64};
    const auto refused = [&](const char* what, void (*spoil)(KvasirQuantiseKvArgs&)) {
      KvasirQuantiseKvArgs args = good;
      spoil(args);
      c.check(c.gpu.quantiseKv(c.stream, &args) == KVASIR_GPU_INVALID, what);
    };
    refused("headDim 80", [](KvasirQuantiseKvArgs& a) { a.from.headDim = a.to.headDim = 80; });
    refused("views of two shapes", [](KvasirQuantiseKvArgs& a) { a.from.numKvHeads = 1; });
    refused("a type unknown", [](KvasirQuantiseKvArgs& a) { a.from.type = 2; });
    refused("a stride of no whole 16 bytes", [](KvasirQuantiseKvArgs& a) { a.to.pageStride += 4; });
    refused("fewer pages than none", [](KvasirQuantiseKvArgs& a) { a.pages = -1; });
    c.ok(c.gpu.quantiseKv(c.stream, &good), "no pages");
    c.synchronize();
  });
}

}  // namespace kvasir::gpu::test
