// Canonical pages with random rows, and random lists over them: what the steps on attention and on rows share.
#pragma once

#include <random>
#include <string>
#include <utility>

#include "gpu.h"

namespace kvasir::gpu::bench {

struct ModelShape {
  int numHeads, numKvHeads, headDim;
  std::string text() const {
    return std::to_string(numHeads) + "/" + std::to_string(numKvHeads) + "/" + std::to_string(headDim);
  }
};

// Pages of one layer, f16, filled with random values, on the device or in pinned host memory that the device reads.
class PagePool {
 public:
  PagePool(const Gpu& gpu, const ModelShape& model, int numPages, bool onHost = false);

  static std::size_t pageBytes(const ModelShape& model) {
    return std::size_t{2} * KVASIR_PAGE_TOKENS * static_cast<std::size_t>(model.numKvHeads * model.headDim) * 2;
  }
  int numPages() const { return numPages_; }
  const KvasirKvView& view() const { return view_; }
  // Row of a token as doubles; kv 0: K, 1: V. For checks: slow.
  std::vector<double> row(int page, int kvHead, int kv, int offset) const;

 private:
  const Gpu& gpu_;
  int numPages_;
  Memory memory_;
  KvasirKvView view_{};
};

// The same of any pages in f16, at a layer.
std::vector<double> rowOf(const Gpu& gpu, const KvasirKvView& view, int layer, int page, int kvHead, int kv, int offset);

double fromHalf(std::uint16_t half);

// Numbers of [-1, 1], the same at every call.
std::vector<float> randomFloats(std::size_t count);

// Attention of one query over rows of KV head 0 of a layer, scaled by 1 / sqrt(headDim), in double precision: |out - it| / |it|.
// tokens: physical page and place in it.
double attentionError(const Gpu& gpu, const KvasirKvView& kv, int layer, const std::vector<std::pair<int, int>>& tokens,
                      const std::vector<float>& q, const std::vector<float>& out);

// Pages in random order, in extents of `extent` neighbours; the same order for the same seed.
std::vector<std::int32_t> shuffledPages(int count, int numPages, int extent, unsigned seed);

// Runs of `runTokens` at random places of a context, `tokens` in all, ascending and disjoint, none across a page.
// The context must hold at least twice `tokens`, unless runTokens is 0, which takes its first `tokens` tokens whole.
std::vector<KvasirKvRun> randomRuns(int tokens, int runTokens, int contextTokens, std::mt19937& random);

}  // namespace kvasir::gpu::bench
