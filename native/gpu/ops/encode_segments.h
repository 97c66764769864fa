// Means, radii and codes of segments, to the bits of the CPU: each sum in its order, multiplied and added with two roundings.
#pragma once

#include "../args/encode_segments.h"
#include "../context/launcher.h"
#include "elements.h"

namespace kvasir::gpu {

// A block a segment, layer and KV head: threads are key channels, then principal ones, four tokens at a time, so that an
// element of the basis that is read meets four tokens. About 4 headDim^2 instructions a token: arithmetic bounds it.
template <class T>
struct EncodeSegments {
  struct Args {
    KvasirEncodeSegmentsArgs op;
    KvasirIndexLayout layout;
  };

  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 4;
  static constexpr int kWarps = kThreads / kWarp;
  static constexpr int kTokens = 4;
  static constexpr int kDim = KVASIR_INDEX_MAX_DIM;
  static constexpr int kSums = 16;
  static constexpr unsigned kSharedBytes = 4 * (kDim + 4 * kTokens * kDim + kSums * kTokens + kWarps + 16);

  struct Regs {
    float largest;
  };

  static Plan plan(const Args& args) {
    Plan plan;
    plan.gridX = static_cast<unsigned>(args.op.numSegments - args.op.firstSegment);
    plan.gridY = static_cast<unsigned>(args.op.numLayers * args.op.kv.numKvHeads);
    plan.sharedBytes = kSharedBytes;
    return plan;
  }

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const KvasirEncodeSegmentsArgs& op = args.op;
    const KvasirIndexLayout& layout = args.layout;
    const int dim = op.kv.headDim, segment = op.firstSegment + cx.blockX();
    const int layer = op.firstLayer + cx.blockY() / op.kv.numKvHeads, kvHead = cx.blockY() % op.kv.numKvHeads;
    const int start = segment == 0 ? 0 : op.ends[segment - 1], end = op.ends[segment];
    const std::uint8_t* keys = op.kv.base + wide(layer) * op.kv.layerStride + wide(kvHead) * op.kv.headStride;
    std::uint8_t* index = op.index + (wide(layer) * wide(op.kv.numKvHeads) + wide(kvHead)) * layout.bytes;
    const auto keyAt = [&](int token, int i) {
      const std::uint8_t* row = keys + wide(op.pages[token / KVASIR_PAGE_TOKENS]) * op.kv.pageStride +
                                wide(token % KVASIR_PAGE_TOKENS) * wide(dim) * sizeof(T);
      return loadElement<T>(cx, row, i);
    };

    typename Cx::template Threads<Regs> regs(cx);
    auto mean = cx.template shared<float>(kDim);
    auto residuals = cx.template shared<float>(kTokens * kDim);
    auto along = cx.template shared<float>(kTokens * kDim);
    auto estimates = cx.template shared<float>(kTokens * kDim);
    auto codes = cx.template shared<std::uint32_t>(kTokens * kDim);
    auto sums = cx.template shared<float>(kSums * kTokens);
    auto warpSums = cx.template shared<float>(kWarps);
    storeMean(cx, regs, args, index, segment, start, end, keyAt, mean, warpSums);
    if (op.segmentOf != nullptr && cx.blockY() == 0) {
      cx.each([&](int thread) {
        for (int token = start + thread; token < end; token += kThreads) op.segmentOf[token] = segment;
      });
    }

    float radius = 0.0f;
    for (int token = start; token < end; token += kTokens) {
      const int tokens = least(kTokens, end - token);
      cx.each([&](int thread) {
        for (int i = thread; i < dim; i += kThreads) {
          for (int t = 0; t < kTokens; ++t) residuals[t * kDim + i] = t < tokens ? keyAt(token + t, i) - mean[i] : 0.0f;
        }
      });
      cx.barrier();
      makeCodes(cx, args, index, residuals, along, codes);
      cx.barrier();
      storeCodes(cx, args, index, token, tokens, codes);
      makeEstimates(cx, args, index, along, estimates);
      cx.barrier();
      cx.each([&](int thread) {
        if (thread >= kSums * kTokens) return;
        const int t = thread / kSums;
        float sum = 0.0f;
        for (int i = thread % kSums; i < dim; i += kSums) {
          const float distance = residuals[t * kDim + i] - estimates[t * kDim + i];
          sum += distance * distance;
        }
        sums[thread] = sum;
      });
      cx.barrier();
      for (int t = 0; t < tokens; ++t) {
        float total = 0.0f;
        for (int k = 0; k < kSums; ++k) total += sums[t * kSums + k];
        radius = total > radius ? total : radius;
      }
      cx.barrier();
    }
    cx.each([&](int thread) {
      if (thread == 0) reinterpret_cast<std::uint16_t*>(index + layout.radii)[segment] = halfAbove(cx, cx.sqrt(radius) * 1.00001f);
    });
  }

 private:
  // Up to the next float16, infinity beyond the largest.
  template <class Cx>
  static KVASIR_DEVICE std::uint16_t halfAbove(Cx& cx, float x) {
    if (x > 65504.0f) return 0x7c00;
    const Half half = cx.toHalf(x);
    return static_cast<std::uint16_t>(half.bits + (cx.toFloat(half) < x ? 1 : 0));
  }

  // To the nearest whole number, ties to even.
  static KVASIR_DEVICE float nearest(float x) { return (x + 12582912.0f) - 12582912.0f; }

  // The mean, as the index holds it, in `mean` and in the index.
  template <class Cx, class Threads, class KeyAt, class Shared>
  static KVASIR_DEVICE void storeMean(Cx& cx, Threads& regs, const Args& args, std::uint8_t* index, int segment, int start, int end,
                                      const KeyAt& keyAt, const Shared& mean, const Shared& warpSums) {
    const int dim = args.op.kv.headDim, bytesEach = args.op.shape.vectorBits / 8;
    const float count = static_cast<float>(end - start);
    cx.each(regs, [&](int thread, Regs& r) {
      r.largest = 0.0f;
      for (int i = thread; i < dim; i += kThreads) {
        float sum = 0.0f;
        for (int token = start; token < end; ++token) sum += keyAt(token, i);
        sum /= count;
        mean[i] = sum;
        const float size = sum < 0.0f ? -sum : sum;
        r.largest = size > r.largest ? size : r.largest;
      }
    });
    cx.warpMax(regs, &Regs::largest);
    cx.each(regs, [&](int thread, Regs& r) {
      if (thread % kWarp == 0) warpSums[thread / kWarp] = r.largest;
    });
    cx.barrier();
    float largest = 0.0f;
    for (int warp = 0; warp < kWarps; ++warp) {
      const float own = warpSums[warp];
      largest = own > largest ? own : largest;
    }
    const std::uint16_t half = bytesEach == 1 && largest > 0.0f ? halfAbove(cx, largest / 127.0f) : std::uint16_t{0};
    const float step = cx.toFloat(Half{half});
    std::uint8_t* to = index + args.layout.means + wide(segment / kWarp) * wide(args.layout.meanVectors) * (16 * kWarp) + wide(segment % kWarp) * 16;
    cx.each([&](int thread) {
      if (thread == 0) reinterpret_cast<std::uint16_t*>(index + args.layout.meanSteps)[segment] = half;
      const int padded = args.layout.meanVectors * 16 / bytesEach;
      for (int i = thread; i < padded; i += kThreads) {
        const int byte = i * bytesEach;
        std::uint8_t* at = to + wide(byte / 16) * (16 * kWarp) + wide(byte % 16);
        const float value = i < dim ? static_cast<float>(mean[i]) : 0.0f;
        if (bytesEach == 2) {
          const Half stored = cx.toHalf(value);
          *reinterpret_cast<Half*>(at) = stored;
          if (i < dim) mean[i] = cx.toFloat(stored);
        } else {
          const float whole = step > 0.0f ? nearest(value / step) : 0.0f;
          *at = static_cast<std::uint8_t>(static_cast<std::int8_t>(whole));
          if (i < dim) mean[i] = whole * step;
        }
      }
    });
    cx.barrier();
  }

  static KVASIR_DEVICE int bitsOf(const KvasirIndexLayout& layout, int channel) {
    return channel < 8 * layout.words4 ? 4 : channel < 8 * layout.words4 + 16 * layout.words2 ? 2 : 1;
  }

  // Residuals along the channels become codes, and `along` what they stand for.
  template <class Cx, class Shared, class Codes>
  static KVASIR_DEVICE void makeCodes(Cx& cx, const Args& args, const std::uint8_t* index, const Shared& residuals, const Shared& along,
                                      const Codes& codes) {
    const KvasirIndexLayout& layout = args.layout;
    const int dim = args.op.kv.headDim, row = layout.paddedChannels;
    const Half* basis = reinterpret_cast<const Half*>(index);
    const float *steps = reinterpret_cast<const float*>(index + layout.steps), *zeros = reinterpret_cast<const float*>(index + layout.zeros);
    cx.each([&](int thread) {
      for (int n = thread; n < layout.channels; n += kThreads) {
        float sums[kTokens] = {};
        for (int i = 0; i < dim; ++i) {
          const float direction = cx.toFloat(basis[i * row + n]);
          KVASIR_UNROLL
          for (int t = 0; t < kTokens; ++t) sums[t] += residuals[t * kDim + i] * direction;
        }
        const int bits = bitsOf(layout, n);
        const float step = steps[n], divisor = step > 0.0f ? step : 1.0f, half = static_cast<float>(1 << (bits - 1));
        const float largest = static_cast<float>((1 << bits) - 1);
        KVASIR_UNROLL
        for (int t = 0; t < kTokens; ++t) {
          const float at = sums[t] / divisor;
          float bounded = at < -64.0f ? -64.0f : at;
          bounded = bounded > 64.0f ? 64.0f : bounded;
          const std::int32_t whole = static_cast<std::int32_t>(bounded);
          float code = static_cast<float>(whole - (static_cast<float>(whole) > bounded ? 1 : 0)) + half;
          code = code < 0.0f ? 0.0f : code;
          code = code > largest ? largest : code;
          along[t * kDim + n] = (code - zeros[n]) * step;
          codes[t * kDim + n] = static_cast<std::uint32_t>(code);
        }
      }
    });
  }

  // A thread a token and word: channel 4 q + b of a word has bits [q * bits, (q + 1) * bits) of byte b.
  template <class Cx, class Codes>
  static KVASIR_DEVICE void storeCodes(Cx& cx, const Args& args, std::uint8_t* index, int firstToken, int tokens, const Codes& codes) {
    const KvasirIndexLayout& layout = args.layout;
    const int words = 4 * layout.codeVectors, words4 = layout.words4, words2 = layout.words2;
    cx.each([&](int thread) {
      for (int i = thread; i < tokens * words; i += kThreads) {
        const int t = i / words, word = i % words, token = firstToken + t;
        const int bits = word < words4 ? 4 : word < words4 + words2 ? 2 : 1;
        const int first = word < words4 ? 8 * word : word < words4 + words2 ? 8 * words4 + 16 * (word - words4)
                                                                            : 8 * words4 + 16 * words2 + 32 * (word - words4 - words2);
        std::uint32_t packed = 0;
        for (int k = 0; k < 32 / bits && first + k < layout.channels && word < words4 + words2 + layout.words1; ++k) {
          packed |= codes[t * kDim + first + k] << (8 * (k % 4) + k / 4 * bits);
        }
        std::uint8_t* at = index + layout.codes + (wide(token / kWarp) * wide(layout.codeVectors) + wide(word / 4)) * (16 * kWarp) +
                           wide(token % kWarp) * 16 + wide(word % 4) * 4;
        *reinterpret_cast<std::uint32_t*>(at) = packed;
      }
    });
  }

  // What the codes stand for, back in key channels: a thread reads the row of the basis of its channel.
  template <class Cx, class Shared>
  static KVASIR_DEVICE void makeEstimates(Cx& cx, const Args& args, const std::uint8_t* index, const Shared& along, const Shared& estimates) {
    const int dim = args.op.kv.headDim, row = args.layout.paddedChannels, channels = args.layout.channels;
    const Half* basis = reinterpret_cast<const Half*>(index);
    cx.each([&](int thread) {
      for (int i = thread; i < dim; i += kThreads) {
        float sums[kTokens] = {};
        for (int n = 0; n < channels; n += 8) {
          float directions[8];
          unpack<Half>(cx, cx.load16(basis + i * row + n), directions);
          KVASIR_UNROLL
          for (int k = 0; k < 8; ++k) {
            if (n + k >= channels) break;
            KVASIR_UNROLL
            for (int t = 0; t < kTokens; ++t) sums[t] += along[t * kDim + n + k] * directions[k];
          }
        }
        KVASIR_UNROLL
        for (int t = 0; t < kTokens; ++t) estimates[t * kDim + i] = sums[t];
      }
    });
  }
};

inline int launchEncodeSegments(Launcher launcher, const KvasirEncodeSegmentsArgs& args) {
  const KvasirKvView& kv = args.kv;
  const KvasirIndexShape& shape = args.shape;
  if (args.firstSegment < 0 || args.numSegments < args.firstSegment || args.numSegments > shape.segmentCapacity) {
    return launcher.refuse("encodeSegments: segments must lie within the index");
  }
  if (args.firstLayer < 0 || args.numLayers < 0) return launcher.refuse("encodeSegments: a layer is negative");
  if (kv.type != KVASIR_F16 && kv.type != KVASIR_F32) return launcher.refuse("encodeSegments: type must be f16 or f32");
  if (shape.headDim != kv.headDim || shape.numKvHeads != kv.numKvHeads || kv.headDim < 1 || kv.headDim > KVASIR_INDEX_MAX_DIM) {
    return launcher.refuse("encodeSegments: index and cache must have the same heads, of at most 256 channels");
  }
  if ((shape.codeBits != 1 && shape.codeBits != 2 && shape.codeBits != 4) || (shape.vectorBits != 8 && shape.vectorBits != 16)) {
    return launcher.refuse("encodeSegments: codes of 1, 2 or 4 bits and vectors of 8 or 16");
  }
  if (shape.tokenCapacity % KVASIR_INDEX_LANES != 0 || shape.segmentCapacity % KVASIR_INDEX_LANES != 0) {
    return launcher.refuse("encodeSegments: capacities must be multiples of 32");
  }
  if (args.numSegments == args.firstSegment || args.numLayers == 0 || kv.numKvHeads == 0) return KVASIR_GPU_OK;
  const KvasirIndexLayout layout = kvasirIndexLayout(&shape);
  if (kv.type == KVASIR_F16) {
    const EncodeSegments<Half>::Args own = {args, layout};
    return launcher.run<EncodeSegments<Half>>(EncodeSegments<Half>::plan(own), own);
  }
  const EncodeSegments<float>::Args own = {args, layout};
  return launcher.run<EncodeSegments<float>>(EncodeSegments<float>::plan(own), own);
}

}  // namespace kvasir::gpu
