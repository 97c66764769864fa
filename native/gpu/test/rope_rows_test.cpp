// ropeRows against a plain loop, to the bit.
#include <cmath>

#include "suite.h"

namespace kvasir::gpu::test {
namespace {

struct Shape {
  int rows, heads, headDim, rotaryDim, pairing;
};

void run(Case& c, const Shape& s) {
  const std::size_t pairs = static_cast<std::size_t>(s.rotaryDim / 2), headDim = static_cast<std::size_t>(s.headDim);
  std::vector<float> x = drawNormal(c.random, static_cast<std::size_t>(s.rows * s.heads) * headDim, 3.0f), cosines, sines;
  for (const float angle : drawNormal(c.random, static_cast<std::size_t>(s.rows) * pairs, 10.0f)) {
    cosines.push_back(std::cos(angle));
    sines.push_back(std::sin(angle));
  }
  const Buffer<float> values = c.upload(x), cos = c.upload(cosines), sin = c.upload(sines);
  for (std::size_t r = 0; r < static_cast<std::size_t>(s.rows); ++r) {
    for (std::size_t head = 0; head < static_cast<std::size_t>(s.heads); ++head) {
      float* row = &x[(r * static_cast<std::size_t>(s.heads) + head) * headDim];
      for (std::size_t i = 0; i < pairs; ++i) {
        const bool half = s.pairing == KVASIR_PAIRS_HALF;
        float &first = row[half ? i : 2 * i], &second = row[half ? i + pairs : 2 * i + 1];
        const float a = first, b = second, cs = cosines[r * pairs + i], sn = sines[r * pairs + i];
        first = a * cs - b * sn;
        second = b * cs + a * sn;
      }
    }
  }
  const KvasirRopeRowsArgs args{values.get(), cos.get(), sin.get(), s.rows, s.heads, s.headDim, s.rotaryDim, s.pairing};
  c.ok(c.gpu.ropeRows(c.stream, &args), "ropeRows");
  c.same(c.download(values), x, "x");
}

}  // namespace

void tests::ropeRows(Suite& suite) {
  const int headDims[] = {64, 128, 80, 4, 36, 256}, rows[] = {0, 1, 5, 32, 67};
  int i = 0;
  for (const int pairing : {KVASIR_PAIRS_HALF, KVASIR_PAIRS_INTERLEAVED}) {
    for (const int headDim : headDims) {
      for (const int part : {1, 2, 3, 4}) {
        ++i;
        const int rotaryDim = part == 1 ? headDim : headDim / part / 2 * 2;
        const Shape shape = {rows[i % 5], 1 + i % 4, headDim, rotaryDim, pairing};
        const std::string name = std::to_string(shape.rows) + " x " + std::to_string(shape.heads) + " x " + std::to_string(headDim) +
                                 ", rotary " + std::to_string(rotaryDim) + (pairing == KVASIR_PAIRS_HALF ? " half" : " interleaved");
        suite.run("ropeRows", name, [&](Case& c) { run(c, shape); });
      }
    }
  }
}

}  // namespace kvasir::gpu::test
