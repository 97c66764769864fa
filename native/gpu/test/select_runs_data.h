// Cases of selectRuns: shapes, sequences with indexes of random numbers, and what those numbers estimate.
#pragma once

#include <cmath>
#include <limits>

#include "../../cpu/simd/half.h"
#include "choose_budget.h"
#include "suite.h"

namespace kvasir::gpu::test::select_runs {

struct Shape {
  int type, kvHeads, group, dim;
  int codeBits = 2, vectorBits = 8;
  int tokens = 700;  // of the longest sequence
  int sequences = 1;
  int budget = 96, sinks = 4, recent = 16, pool = 192;
  bool joint = true, perQueryHead = false, exact = false, kept = false, otherQuery = false, mixed = false;
  enum { none, rows, blocks, all } slots = none;  // some rows, some blocks, or all rows lie in slots
};

inline std::string nameOf(const Shape& s) {
  static const char* const slots[] = {"", ", some rows in slots", ", some blocks in slots", ", all rows in slots"};
  char text[280];
  std::snprintf(text, sizeof(text), "%s %d x %d x %d, %d bits and %d, %d sequences of %d, budget %d (%d + %d), pool %d%s%s%s%s%s%s%s",
                s.type == KVASIR_F16 ? "f16" : "f32", s.kvHeads, s.group, s.dim, s.codeBits, s.vectorBits, s.sequences, s.tokens, s.budget,
                s.sinks, s.recent, s.pool, s.joint ? ", joint" : "", s.perQueryHead ? ", a row a query head" : "", s.exact ? ", exact" : "",
                s.kept ? ", not all kept" : "", s.otherQuery ? ", running query" : "", s.mixed ? ", one without codes" : "", slots[s.slots]);
  return text;
}

constexpr int kLayer = 1;
constexpr double kLog2E = 1.44269504088896340736;

inline float fromHalf(std::uint16_t half) { return halfToFloat(half); }

// One sequence of a case with numbers of no meaning in its index: what is estimated need not be like the keys.
struct Sequence {
  int numTokens, indexed, coded, keptEnd, keptStride;
  KvasirIndexLayout layout;
  std::vector<std::int32_t> ends, segmentOf, pages;
  std::vector<std::uint8_t> index;
  std::vector<std::uint64_t> kept;

  bool keeps(int kvHead, int token) const {
    if (kept.empty() || token >= std::min(keptEnd, numTokens - 1)) return true;
    return (kept[static_cast<std::size_t>(kvHead * keptStride + token / 64)] >> (token % 64) & 1) != 0;
  }
};

struct Data {
  Shape s;
  KvasirKvView view{};
  KvasirIndexShape indexShape{};
  std::vector<std::uint8_t> cache;
  std::vector<float> q, estimateQ;
  std::vector<Sequence> sequences;
  float scale;

  const std::uint8_t* head(const Sequence& sequence, int kvHead) const {
    return sequence.index.data() + static_cast<std::size_t>(kLayer * s.kvHeads + kvHead) * sequence.layout.bytes;
  }
  std::size_t rowAt(const Sequence& sequence, int kvHead, int token) const {
    const std::size_t rowBytes = static_cast<std::size_t>(s.dim) * (s.type == KVASIR_F16 ? 2 : 4);
    return static_cast<std::size_t>(sequence.pages[static_cast<std::size_t>(token / 16)]) * view.pageStride + kLayer * view.layerStride +
           static_cast<std::size_t>(kvHead) * view.headStride + static_cast<std::size_t>(token % 16) * rowBytes;
  }
  double exactScore(const Sequence& sequence, int head, int token) const {
    const std::uint8_t* row = cache.data() + rowAt(sequence, head / s.group, token);
    const std::size_t at = &sequence - sequences.data();
    double sum = 0;
    for (int i = 0; i < s.dim; ++i) {
      float x;
      std::uint16_t half;
      std::memcpy(&half, row + 2 * i, 2);
      if (s.type == KVASIR_F16) x = fromHalf(half);
      else std::memcpy(&x, row + 4 * i, 4);
      sum += static_cast<double>(queryOf(q, at, head)[i]) * static_cast<double>(x);
    }
    return sum * static_cast<double>(scale);
  }
  const float* queryOf(const std::vector<float>& from, std::size_t sequence, int head) const {
    return from.data() + (sequence * static_cast<std::size_t>(s.kvHeads * s.group) + static_cast<std::size_t>(head)) * static_cast<std::size_t>(s.dim);
  }
};

inline Data draw(Case& c, const Shape& s) {
  Data d;
  d.s = s;
  Random& random = c.random;
  const std::size_t rowBytes = static_cast<std::size_t>(s.dim) * (s.type == KVASIR_F16 ? 2 : 4);
  d.view.valueStride = 16 * rowBytes;
  d.view.headStride = 2 * d.view.valueStride;
  d.view.layerStride = static_cast<std::size_t>(s.kvHeads) * d.view.headStride;
  d.view.pageStride = 2 * d.view.layerStride;
  d.view.type = s.type;
  d.view.numKvHeads = s.kvHeads;
  d.view.headDim = s.dim;
  const int pagesEach = (s.tokens + 15) / 16, numPages = s.sequences * pagesEach;
  d.indexShape = {s.dim, s.codeBits, s.vectorBits, s.kvHeads, (s.tokens + 31) / 32 * 32, (s.tokens + 31) / 32 * 32};
  d.scale = 1.0f / std::sqrt(static_cast<float>(s.dim));
  // Nothing but keys that may be read is a number.
  d.cache.assign(static_cast<std::size_t>(numPages) * d.view.pageStride, 0xFF);
  const std::size_t queries = static_cast<std::size_t>(s.sequences * s.kvHeads * s.group * s.dim);
  d.q = drawNormal(random, queries, 1.6f);
  d.estimateQ = s.otherQuery ? drawNormal(random, queries, 1.6f) : d.q;
  const std::vector<std::int32_t> shuffled = drawDistinct(random, numPages, numPages);
  for (int i = 0; i < s.sequences; ++i) {
    Sequence sequence;
    // Each of its own capacities.
    KvasirIndexShape shape = d.indexShape;
    shape.tokenCapacity += i * 64;
    shape.segmentCapacity += i * 32;
    sequence.layout = kvasirIndexLayout(&shape);
    sequence.numTokens = i == 0 ? s.tokens : drawInt(random, 1, s.tokens);
    sequence.pages.assign(shuffled.begin() + i * pagesEach, shuffled.begin() + (i + 1) * pagesEach);
    for (int end = 0;;) {
      end += drawInt(random, 1, 50);
      if (end > sequence.numTokens - drawInt(random, 0, 30)) break;
      sequence.ends.push_back(end);
    }
    sequence.indexed = sequence.ends.empty() ? 0 : sequence.ends.back();
    sequence.coded = s.mixed && i % 2 == 1 ? 0 : sequence.indexed;
    for (std::size_t segment = 0; segment < sequence.ends.size(); ++segment) {
      while (static_cast<int>(sequence.segmentOf.size()) < sequence.ends[segment]) sequence.segmentOf.push_back(static_cast<std::int32_t>(segment));
    }
    sequence.keptEnd = s.kept ? drawInt(random, 0, sequence.numTokens + 3) : 0;
    sequence.keptStride = (sequence.keptEnd + 63) / 64;
    for (int word = 0; s.kept && word < s.kvHeads * sequence.keptStride + 1; ++word) {
      sequence.kept.push_back((static_cast<std::uint64_t>(random()) << 32 | random()) | (static_cast<std::uint64_t>(random()) << 32 | random()));
    }
    sequence.index.assign(2 * static_cast<std::size_t>(s.kvHeads) * sequence.layout.bytes, 0);
    for (std::uint8_t& byte : sequence.index) byte = static_cast<std::uint8_t>(random());
    for (int h = 0; h < 2 * s.kvHeads; ++h) {
      std::uint8_t* head = sequence.index.data() + static_cast<std::size_t>(h) * sequence.layout.bytes;
      const std::size_t padded = static_cast<std::size_t>(sequence.layout.paddedChannels), dim = static_cast<std::size_t>(s.dim);
      const std::vector<std::uint16_t> basis = drawHalves(random, dim * padded, 1.0f / std::sqrt(static_cast<float>(s.dim)));
      std::memcpy(head, basis.data(), basis.size() * 2);
      std::vector<float> steps(padded), zeros(padded);
      for (int n = 0; n < sequence.layout.channels; ++n) {
        const int bits = n < 8 * sequence.layout.words4 ? 4 : n < 8 * sequence.layout.words4 + 16 * sequence.layout.words2 ? 2 : 1;
        steps[static_cast<std::size_t>(n)] = 0.3f / static_cast<float>(bits) + 0.001f * static_cast<float>(drawInt(random, 0, 100));
        zeros[static_cast<std::size_t>(n)] = static_cast<float>((1 << bits) - 1) * 0.5f;
      }
      std::memcpy(head + sequence.layout.steps, steps.data(), padded * 4);
      std::memcpy(head + sequence.layout.zeros, zeros.data(), padded * 4);
      const std::size_t segments = static_cast<std::size_t>(shape.segmentCapacity);
      const std::vector<std::uint16_t> meanSteps(segments, floatToHalf(0.01f));
      std::memcpy(head + sequence.layout.meanSteps, meanSteps.data(), segments * 2);
      const std::size_t meanBytes = segments * static_cast<std::size_t>(sequence.layout.meanVectors) * 16;
      if (s.vectorBits == 16) {
        const std::vector<std::uint16_t> means = drawHalves(random, meanBytes / 2);
        std::memcpy(head + sequence.layout.means, means.data(), meanBytes);
      }
    }
    for (int kvHead = 0; kvHead < s.kvHeads; ++kvHead) {
      for (int token = 0; token < sequence.numTokens; ++token) {
        const std::vector<float> key = drawNormal(random, static_cast<std::size_t>(s.dim), 1.2f);
        std::uint8_t* row = d.cache.data() + d.rowAt(sequence, kvHead, token);
        for (int k = 0; k < s.dim && sequence.keeps(kvHead, token); ++k) {
          const std::uint16_t half = floatToHalf(key[static_cast<std::size_t>(k)]);
          if (s.type == KVASIR_F16) std::memcpy(row + 2 * k, &half, 2);
          else std::memcpy(row + 4 * k, &key[static_cast<std::size_t>(k)], 4);
        }
      }
    }
    d.sequences.push_back(sequence);
  }
  return d;
}

// Estimates of a query head for all coded tokens; its weights are rounded from the same float32 sums as the kernel's.
inline std::vector<double> estimates(const Data& d, std::size_t which, int head) {
  const Shape& s = d.s;
  const Sequence& sequence = d.sequences[which];
  const KvasirIndexLayout& layout = sequence.layout;
  const std::uint8_t* index = d.head(sequence, head / s.group);
  const float* q = d.queryOf(d.estimateQ, which, head);
  const auto halfAt = [&](std::size_t at) {
    std::uint16_t half;
    std::memcpy(&half, index + at, 2);
    return fromHalf(half);
  };
  const auto floatAt = [&](std::size_t at, int n) {
    float value;
    std::memcpy(&value, index + at + 4 * static_cast<std::size_t>(n), 4);
    return value;
  };
  std::vector<float> along;
  float most = 0.0f;
  for (int n = 0; n < layout.channels; ++n) {
    float sum = 0.0f;
    for (int i = 0; i < s.dim; ++i) sum = std::fma(q[i], halfAt(2 * static_cast<std::size_t>(i * layout.paddedChannels + n)), sum);
    along.push_back(sum * floatAt(layout.steps, n));
    most = std::max(most, std::fabs(along.back()));
  }
  const float inverse = most > 1e-30f ? 127.0f / most : 0.0f;
  std::vector<double> scores;
  for (int token = 0; token < sequence.coded; ++token) {
    const int segment = sequence.segmentOf[static_cast<std::size_t>(token)];
    const std::size_t mean = layout.means + static_cast<std::size_t>(segment / 32 * layout.meanVectors) * 512 + static_cast<std::size_t>(segment % 32) * 16;
    const std::size_t code = layout.codes + static_cast<std::size_t>(token / 32 * layout.codeVectors) * 512 + static_cast<std::size_t>(token % 32) * 16;
    double base = 0.0, sum = 0.0;
    for (int i = 0; i < s.dim; ++i) {
      const std::size_t byte = static_cast<std::size_t>(i * s.vectorBits / 8);
      const double x = s.vectorBits == 16 ? static_cast<double>(halfAt(mean + byte / 16 * 512 + byte % 16))
                                          : static_cast<std::int8_t>(index[mean + byte / 16 * 512 + byte % 16]) *
                                                static_cast<double>(halfAt(layout.meanSteps + 2 * static_cast<std::size_t>(segment)));
      base += static_cast<double>(q[i]) * x;
    }
    for (int n = 0; n < layout.channels; ++n) {
      const int w4 = 8 * layout.words4, w2 = w4 + 16 * layout.words2;
      const int bits = n < w4 ? 4 : n < w2 ? 2 : 1, in = n < w4 ? n : n < w2 ? n - w4 : n - w2, perWord = 32 / bits;
      const int word = (n < w4 ? 0 : n < w2 ? layout.words4 : layout.words4 + layout.words2) + in / perWord, place = in % perWord;
      const std::size_t at = code + static_cast<std::size_t>(word / 4 * 512 + word % 4 * 4 + place % 4);
      const int x = index[at] >> (place / 4 * bits) & ((1 << bits) - 1);
      sum += std::nearbyint(static_cast<double>(along[static_cast<std::size_t>(n)] * inverse)) * (x - static_cast<double>(floatAt(layout.zeros, n)));
    }
    scores.push_back(static_cast<double>(d.scale) * (base + static_cast<double>(most) / 127.0 * sum));
  }
  return scores;
}

}  // namespace kvasir::gpu::test::select_runs
