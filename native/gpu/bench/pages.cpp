#include "pages.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "roofs.h"

namespace kvasir::gpu::bench {

PagePool::PagePool(const Gpu& gpu, const ModelShape& model, int numPages, bool onHost)
    : gpu_(gpu), numPages_(numPages) {
  const std::size_t bytes = pageBytes(model) * static_cast<std::size_t>(numPages);
  memory_ = onHost ? Memory::onHost(gpu, bytes) : Memory::onDevice(gpu, bytes);
  fillRandom(gpu, memory_);
  const std::size_t rowBytes = static_cast<std::size_t>(model.headDim) * 2;
  view_.base = memory_.device();
  view_.pageStride = view_.layerStride = pageBytes(model);
  view_.headStride = 2 * KVASIR_PAGE_TOKENS * rowBytes;
  view_.valueStride = KVASIR_PAGE_TOKENS * rowBytes;
  view_.type = KVASIR_F16;
  view_.numKvHeads = model.numKvHeads;
  view_.headDim = model.headDim;
}

std::vector<double> PagePool::row(int page, int kvHead, int kv, int offset) const { return rowOf(gpu_, view_, 0, page, kvHead, kv, offset); }

std::vector<double> rowOf(const Gpu& gpu, const KvasirKvView& view, int layer, int page, int kvHead, int kv, int offset) {
  const std::size_t rowBytes = static_cast<std::size_t>(view.headDim) * 2;
  const std::uint8_t* from = view.base + static_cast<std::size_t>(page) * view.pageStride + static_cast<std::size_t>(layer) * view.layerStride +
                             static_cast<std::size_t>(kvHead) * view.headStride + static_cast<std::size_t>(kv) * view.valueStride +
                             static_cast<std::size_t>(offset) * rowBytes;
  std::vector<double> values;
  for (const std::uint16_t half : download<std::uint16_t>(gpu, from, static_cast<std::size_t>(view.headDim))) {
    values.push_back(fromHalf(half));
  }
  return values;
}

double fromHalf(std::uint16_t half) {
  const int exponent = (half >> 10) & 31, digits = half & 0x3ff;
  const double size = exponent == 0 ? std::ldexp(digits, -24) : std::ldexp(1024 + digits, exponent - 25);
  return (half & 0x8000) != 0 ? -size : size;
}

std::vector<std::int32_t> shuffledPages(int count, int numPages, int extent, unsigned seed) {
  std::vector<std::int32_t> extents(static_cast<std::size_t>(numPages / extent));
  std::iota(extents.begin(), extents.end(), 0);
  std::mt19937 random(seed);
  std::shuffle(extents.begin(), extents.end(), random);
  std::vector<std::int32_t> pages;
  for (std::size_t i = 0; static_cast<int>(pages.size()) < count; ++i) {
    const std::int32_t first = extents[i % extents.size()] * extent;
    for (int k = 0; k < extent && static_cast<int>(pages.size()) < count; ++k) pages.push_back(first + k);
  }
  return pages;
}

std::vector<KvasirKvRun> randomRuns(int tokens, int runTokens, int contextTokens, std::mt19937& random) {
  std::vector<KvasirKvRun> runs;
  const auto add = [&](int first, int end) {
    while (first < end) {
      const int page = first / KVASIR_PAGE_TOKENS, stop = std::min(end, (page + 1) * KVASIR_PAGE_TOKENS);
      runs.push_back({page, first % KVASIR_PAGE_TOKENS, stop - first});
      first = stop;
    }
  };
  if (runTokens == 0) {
    add(0, tokens);
    return runs;
  }
  // Places are multiples of the run: which of them, in order, each with the chance that fills the list.
  const int places = contextTokens / runTokens;
  int left = (tokens + runTokens - 1) / runTokens;
  for (int place = 0; place < places && left > 0; ++place) {
    if (static_cast<int>(random() % static_cast<unsigned>(places - place)) >= left) continue;
    add(place * runTokens, (place + 1) * runTokens);
    --left;
  }
  return runs;
}

std::vector<float> randomFloats(std::size_t count) {
  constexpr std::size_t kDrawn = (1 << 20) + 7;  // then they come again
  std::mt19937 random(5);
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = i < kDrawn ? static_cast<float>(random() % 4001u) / 2000.0f - 1.0f : values[i - kDrawn];
  }
  return values;
}

double attentionError(const Gpu& gpu, const KvasirKvView& kv, int layer, const std::vector<std::pair<int, int>>& tokens,
                      const std::vector<float>& q, const std::vector<float>& out) {
  std::vector<double> scores;
  for (const auto& [page, offset] : tokens) {
    const std::vector<double> key = rowOf(gpu, kv, layer, page, 0, 0, offset);
    double score = 0;
    for (std::size_t i = 0; i < q.size(); ++i) score += key[i] * static_cast<double>(q[i]);
    scores.push_back(score / std::sqrt(static_cast<double>(q.size())));
  }
  const double most = *std::max_element(scores.begin(), scores.end());
  std::vector<double> want(q.size(), 0.0);
  double sum = 0;
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    const double weight = std::exp(scores[t] - most);
    const std::vector<double> value = rowOf(gpu, kv, layer, tokens[t].first, 0, 1, tokens[t].second);
    for (std::size_t i = 0; i < q.size(); ++i) want[i] += weight * value[i];
    sum += weight;
  }
  double apart = 0, whole = 0;
  for (std::size_t i = 0; i < q.size(); ++i) {
    const double expected = want[i] / sum, error = static_cast<double>(out[i]) - expected;
    apart += error * error;
    whole += expected * expected;
  }
  return std::sqrt(apart / whole);
}

}  // namespace kvasir::gpu::bench
