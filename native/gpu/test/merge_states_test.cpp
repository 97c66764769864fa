// mergeStates against float64, and what it returns to the bit.
#include <cmath>
#include <limits>

#include "suite.h"

namespace kvasir::gpu::test {
namespace {

struct States {
  int parts, rows, headDim;
  std::vector<std::vector<float>> outs, lses;
};

// A third of the parts have no rows, and NaN where their output would be.
States draw(Random& random, int parts, int rows, int headDim, float spread) {
  States s{parts, rows, headDim, {}, {}};
  for (int part = 0; part < parts; ++part) {
    s.outs.push_back(drawNormal(random, static_cast<std::size_t>(rows * headDim)));
    s.lses.push_back(drawNormal(random, static_cast<std::size_t>(rows), spread));
    for (int row = 0; row < rows; ++row) {
      if (random() % 3 != 0) continue;
      s.lses.back()[static_cast<std::size_t>(row)] = -INFINITY;
      for (int i = 0; i < headDim; ++i) s.outs.back()[static_cast<std::size_t>(row * headDim + i)] = std::numeric_limits<float>::quiet_NaN();
    }
  }
  return s;
}

struct Given {
  KvasirMergeStatesArgs args{};
  std::vector<Buffer<float>> outs, lses;
};

Given upload(Case& c, const States& s) {
  Given given;
  for (int part = 0; part < s.parts; ++part) {
    given.outs.push_back(c.upload(s.outs[static_cast<std::size_t>(part)]));
    given.lses.push_back(c.upload(s.lses[static_cast<std::size_t>(part)]));
    given.args.outs[part] = given.outs.back().get();
    given.args.lses[part] = given.lses.back().get();
  }
  given.args.parts = s.parts;
  given.args.rows = s.rows;
  given.args.headDim = s.headDim;
  return given;
}

void run(Case& c, int parts, int rows, int headDim, float spread) {
  const States s = draw(c.random, parts, rows, headDim, spread);
  std::vector<double> want, wantLse;
  for (int row = 0; row < rows; ++row) {
    double max = -std::numeric_limits<double>::infinity(), sum = 0.0;
    std::vector<double> out(static_cast<std::size_t>(headDim), 0.0);
    for (int part = 0; part < parts; ++part) max = std::fmax(max, static_cast<double>(s.lses[static_cast<std::size_t>(part)][static_cast<std::size_t>(row)]));
    for (int part = 0; part < parts; ++part) {
      const double lse = static_cast<double>(s.lses[static_cast<std::size_t>(part)][static_cast<std::size_t>(row)]);
      if (!std::isfinite(lse)) continue;
      sum += std::exp(lse - max);
      for (int i = 0; i < headDim; ++i) {
        out[static_cast<std::size_t>(i)] += std::exp(lse - max) * static_cast<double>(s.outs[static_cast<std::size_t>(part)][static_cast<std::size_t>(row * headDim + i)]);
      }
    }
    for (const double x : out) want.push_back(sum > 0.0 ? x / sum : 0.0);
    wantLse.push_back(sum > 0.0 ? max + std::log(sum) : max);
  }

  Given given = upload(c, s);
  const Buffer<float> out = c.poisoned<float>(static_cast<std::size_t>(rows * headDim), true), lse = c.poisoned<float>(static_cast<std::size_t>(rows), true);
  given.args.out = out.get();
  given.args.lse = lse.get();
  c.ok(c.gpu.mergeStates(c.stream, &given.args), "mergeStates");
  const std::vector<float> got = c.download(out), gotLse = c.download(lse);
  c.close(got, want, kMergedStates, "out");
  c.close(gotLse, wantLse, kMergedStates, "lse");
  given.args.out = given.outs.back().get();
  given.args.lse = given.lses.back().get();
  c.ok(c.gpu.mergeStates(c.stream, &given.args), "mergeStates in place");
  c.same(c.download(given.outs.back()), got, "out in place");
  c.same(c.download(given.lses.back()), gotLse, "lse in place");
}

// Of the parts one alone has rows: it comes back as it is, without a place for lse too.
void runOnePart(Case& c, int parts, int at) {
  const int rows = 9, headDim = 80;
  States s = draw(c.random, parts, rows, headDim, 1.0f);
  for (int part = 0; part < parts; ++part) {
    std::vector<float>&own = s.outs[static_cast<std::size_t>(part)], &lses = s.lses[static_cast<std::size_t>(part)];
    own = part == at ? drawNormal(c.random, own.size()) : std::vector<float>(own.size(), std::numeric_limits<float>::quiet_NaN());
    lses = part == at ? drawNormal(c.random, lses.size(), 100.0f) : std::vector<float>(lses.size(), -INFINITY);
  }
  Given given = upload(c, s);
  const Buffer<float> out = c.poisoned<float>(static_cast<std::size_t>(rows * headDim)), lse = c.poisoned<float>(static_cast<std::size_t>(rows));
  given.args.out = out.get();
  c.ok(c.gpu.mergeStates(c.stream, &given.args), "mergeStates");
  c.same(c.download(out), s.outs[static_cast<std::size_t>(at)], "out");
  given.args.lse = lse.get();
  c.ok(c.gpu.mergeStates(c.stream, &given.args), "mergeStates");
  c.same(c.download(lse), s.lses[static_cast<std::size_t>(at)], "lse");
}

}  // namespace

void tests::mergeStates(Suite& suite) {
  int i = 0;
  for (const int rows : {0, 1, 3, 4, 33}) {
    for (const int headDim : {64, 128, 4, 80, 256, 260}) {
      const int parts = 1 + i++ % 8;
      const float spread = i % 4 == 0 ? 1000.0f : 3.0f;
      suite.run("mergeStates", std::to_string(parts) + " parts of " + std::to_string(rows) + " x " + std::to_string(headDim),
                [&](Case& c) { run(c, parts, rows, headDim, spread); });
    }
  }
  for (int parts = 1; parts <= 8; ++parts) {
    const int at = parts * 5 % parts;
    suite.run("mergeStates", "one of " + std::to_string(parts) + " parts has rows", [&](Case& c) { runOnePart(c, parts, parts > 1 ? parts - 1 - at : 0); });
    suite.run("mergeStates", "the first of " + std::to_string(parts) + " parts has rows", [&](Case& c) { runOnePart(c, parts, 0); });
  }
  suite.run("mergeStates", "refuses what it does not do", [](Case& c) {
    KvasirMergeStatesArgs args{};
    args.rows = 1;
    args.headDim = 64;
    c.check(c.gpu.mergeStates(c.stream, &args) == KVASIR_GPU_INVALID, "no parts");
    args.parts = KVASIR_MAX_PARTS + 1;
    c.check(c.gpu.mergeStates(c.stream, &args) == KVASIR_GPU_INVALID, "too many parts");
    args.parts = 1;
    args.headDim = 6;
    c.check(c.gpu.mergeStates(c.stream, &args) == KVASIR_GPU_INVALID, "headDim 6");
    args.headDim = 64;
    args.rows = -1;
    c.check(c.gpu.mergeStates(c.stream, &args) == KVASIR_GPU_INVALID, "fewer rows than none");
  });
}

}  // namespace kvasir::gpu::test
