// The plain bodies.
#include <cmath>
#include <cstring>

#include "kernels.h"

namespace kvasir::lsh {
namespace {

void hash(const HashPlanes& planes, HashKind kind, const float* x, int rows, void* out) {
  const std::size_t rowBytes = rowBytesOf(kind, planes.numHashes), dim = static_cast<std::size_t>(planes.dim);
  for (int row = 0; row < rows; ++row, x += dim) {
    auto* code = static_cast<std::uint8_t*>(out) + static_cast<std::size_t>(row) * rowBytes;
    std::memset(code, 0, rowBytes);
    for (int h = 0; h < planes.numHashes; ++h) {
      const float* plane = planes.panels + static_cast<std::size_t>(h / kPanelHashes) * dim * kPanelHashes + h % kPanelHashes;
      double sum = 0.0;
      for (std::size_t i = 0; i < dim; ++i) sum += static_cast<double>(x[i]) * plane[i * kPanelHashes];
      const float product = static_cast<float>(sum);
      if (kind == HashKind::signs) {
        if (product >= 0.0f) code[h / 8] = static_cast<std::uint8_t>(code[h / 8] | 1 << h % 8);
      } else if (kind == HashKind::floors) {
        const float cell = 128.0f + std::floor((product + planes.offsets[h]) / planes.width);
        code[h] = static_cast<std::uint8_t>(cell >= 0.0f ? cell <= 255.0f ? cell : 255.0f : 0.0f);
      } else {
        std::memcpy(code + static_cast<std::size_t>(h) * sizeof(float), &product, sizeof product);
      }
    }
  }
}

std::int32_t distanceOf(CodeDistance kind, std::uint64_t a, std::uint64_t b) {
  if (kind == CodeDistance::hamming) return __builtin_popcountll(a ^ b);
  std::int32_t sum = 0;
  for (int byte = 0; byte < 8; ++byte) {
    const int left = static_cast<int>(a >> (8 * byte) & 255), right = static_cast<int>(b >> (8 * byte) & 255);
    sum += left < right ? right - left : left - right;
  }
  return sum;
}

void offer(Nearest& nearest, std::int32_t distance, int index) {
  const Ranked offered = static_cast<Ranked>(distance) << 32 | static_cast<std::uint32_t>(index);
  int at = nearest.count - 1;
  for (; at > 0 && nearest.best[at - 1] > offered; --at) nearest.best[at] = nearest.best[at - 1];
  nearest.best[at] = offered;
  const auto last = static_cast<std::int32_t>(nearest.best[nearest.count - 1] >> 32);
  if (last < nearest.limit) nearest.limit = last;
}

void scan(const ScanTask& task) {
  const CodeTable& table = task.table;
  for (int block = task.firstBlock; block < task.endBlock; ++block) {
    const std::uint64_t* words = table.blocks + blockWordsOf(block * kBlockRows, table.words);
    for (int q = 0; q < task.numQueries; ++q) {
      for (int i = 0; i < kBlockRows && block * kBlockRows + i < table.rows; ++i) {
        std::int32_t distance = 0;
        for (int w = 0; w < table.words; ++w)
          distance += distanceOf(table.distance, words[w * kBlockRows + i], task.queries[q][w]);
        if (distance < task.nearest[q]->limit) offer(*task.nearest[q], distance, block * kBlockRows + i);
      }
    }
  }
}

Products products(const float* a, const float* b, int dim) {
  Products sums = {0.0, 0.0};
  for (int i = 0; i < dim; ++i) {
    sums.dot += static_cast<double>(a[i]) * b[i];
    sums.square += static_cast<double>(b[i]) * b[i];
  }
  return sums;
}

double squaredDistance(const float* a, const float* b, int dim) {
  double sum = 0.0;
  for (int i = 0; i < dim; ++i) sum += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
  return sum;
}

}  // namespace

const Kernels kernelsScalar = {hash, scan, products, squaredDistance};

}  // namespace kvasir::lsh
