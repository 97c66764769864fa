// Pages to eight bits: a block a tile, both halves of it in shared memory as floats.
// Bound: 32 headDim elements read and 36 headDim + 32 bytes written a tile at the speed of memory.
#pragma once

#include <string>

#include "../args/quantise_kv.h"
#include "../context/launcher.h"
#include "byte_tiles.h"
#include "elements.h"

namespace kvasir::gpu {

template <class T>
struct QuantiseKv {
  using Args = KvasirQuantiseKvArgs;

  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 6;
  static constexpr int kTokens = KVASIR_PAGE_TOKENS;
  static constexpr int kMaxDim = 256;
  static constexpr unsigned kSharedBytes = (2 * kTokens * kMaxDim + 2 * kMaxDim + kTokens) * 4;

  struct Regs {
    float most;
    std::uint32_t bad;
  };

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    const int headDim = args.from.headDim, rowVectors = headDim / kPerVector<T>;
    auto values = cx.template shared<float>(2 * kTokens * kMaxDim);  // [K|V][16][headDim]
    auto scales = cx.template shared<float>(kMaxDim);
    auto zeros = cx.template shared<float>(kMaxDim);
    auto tokenScales = cx.template shared<float>(kTokens);
    const int layer = args.firstLayer + cx.blockY() / args.from.numKvHeads, head = cx.blockY() % args.from.numKvHeads;
    const std::uint8_t* from = args.from.base + static_cast<std::size_t>(args.fromPages[cx.blockX()]) * args.from.pageStride +
                               static_cast<std::size_t>(layer) * args.from.layerStride + static_cast<std::size_t>(head) * args.from.headStride;
    std::uint8_t* to = args.to.base + static_cast<std::size_t>(args.toPages[cx.blockX()]) * args.to.pageStride +
                       static_cast<std::size_t>(layer) * args.to.layerStride + static_cast<std::size_t>(head) * args.to.headStride;
    Half* toHalves = reinterpret_cast<Half*>(to + 2 * kTokens * headDim);

    typename Cx::template Threads<Regs> regs(cx);
    cx.each(regs, [&](int thread, Regs& r) {
      r.bad = 0;
      for (int i = thread; i < 2 * kTokens * rowVectors; i += kThreads) {
        const int half = i / (kTokens * rowVectors), at = i % (kTokens * rowVectors);
        float x[kPerVector<T>];
        unpack<T>(cx, cx.load16(from + static_cast<std::size_t>(half) * args.from.valueStride + 16 * at), x);
        KVASIR_UNROLL
        for (int e = 0; e < kPerVector<T>; e += 4) {
          Vec16 vector;
          KVASIR_UNROLL
          for (int j = 0; j < 4; ++j) {
            const bool finite = (cx.asBits(x[e + j]) & 0x7f800000u) != 0x7f800000u;
            if (!finite) ++r.bad;
            vector.word[j] = finite ? cx.asBits(x[e + j]) : 0u;
          }
          cx.store16(values + i * kPerVector<T> + e, vector);
        }
      }
      if (r.bad > 0) cx.atomicAdd(args.notFinite, r.bad);
    });
    cx.barrier();

    // Of each channel of K; of each token of V by eight lanes.
    cx.each(regs, [&](int thread, Regs& r) {
      for (int channel = thread; channel < headDim; channel += kThreads) {
        float low = values[channel], high = low;
        for (int token = 1; token < kTokens; ++token) {
          const float x = values[token * headDim + channel];
          low = cx.min(low, x);
          high = cx.max(high, x);
        }
        const Half zero = atMost(cx, low);
        const Half scale = stepOf(cx, high - cx.toFloat(zero), 255.0f);
        zeros[channel] = cx.toFloat(zero);
        scales[channel] = cx.toFloat(scale);
        toHalves[channel] = scale;
        toHalves[headDim + channel] = zero;
      }
      r.most = 0.0f;
      for (int i = thread % 8; i < headDim; i += 8) {
        const float x = values[(kTokens + thread / 8) * headDim + i];
        r.most = cx.max(r.most, cx.abs(x));
      }
    });
    cx.template warpMax<8>(regs, &Regs::most);
    cx.each(regs, [&](int thread, Regs& r) {
      if (thread % 8 != 0) return;
      const Half scale = stepOf(cx, r.most, 127.0f);
      tokenScales[thread / 8] = cx.toFloat(scale);
      toHalves[2 * headDim + thread / 8] = scale;
    });
    cx.barrier();

    cx.each([&](int thread) {
      std::uint32_t* words = reinterpret_cast<std::uint32_t*>(to);
      for (int i = thread; i < 2 * kTokens * headDim / 4; i += kThreads) {
        const int row = 4 * i / headDim, channel = 4 * i % headDim;
        const Vec16 x = cx.load16(values + 4 * i);
        std::uint32_t word = 0;
        KVASIR_UNROLL
        for (int e = 0; e < 4; ++e) {
          const bool ofKeys = row < kTokens;
          const float scale = ofKeys ? scales[channel + e] : tokenScales[row - kTokens];
          const float zero = ofKeys ? zeros[channel + e] : 0.0f;
          const float code = codeOf(cx, cx.asFloat(x.word[e]) - zero, scale, ofKeys ? 0.0f : -127.0f, ofKeys ? 255.0f : 127.0f);
          word |= (static_cast<std::uint32_t>(static_cast<int>(code)) & 0xffu) << (8 * e);
        }
        words[i] = word;
      }
    });
  }

 private:
  // The largest float16 that is no larger, within their range.
  template <class Cx>
  static KVASIR_DEVICE Half atMost(Cx& cx, float x) {
    Half half = cx.toHalf(x);
    if (cx.toFloat(half) > x && half.bits != 0xfbffu) {
      // One step towards minus infinity: magnitudes of negative ones grow; below zero comes the least negative one.
      if ((half.bits & 0x7fffu) == 0) half.bits = 0x8001u;
      else half.bits = static_cast<std::uint16_t>((half.bits & 0x8000u) != 0 ? half.bits + 1 : half.bits - 1);
    }
    return half;
  }

  // The least float16 step with which `steps` of them reach `range`.
  template <class Cx>
  static KVASIR_DEVICE Half stepOf(Cx& cx, float range, float steps) {
    Half half = cx.toHalf(range / steps);
    if (cx.toFloat(half) * steps < range && half.bits < 0x7bffu) ++half.bits;
    return half;
  }

  template <class Cx>
  static KVASIR_DEVICE float codeOf(Cx& cx, float x, float scale, float least, float most) {
    if (!(scale > 0.0f)) return 0.0f;
    // Adding and taking away 1.5 2^23 rounds to the nearest integer, ties to even.
    const float rounded = (cx.max(least - 1.0f, cx.min(most + 1.0f, x / scale)) + 12582912.0f) - 12582912.0f;
    return cx.max(least, cx.min(most, rounded));
  }
};

inline int launchQuantiseKv(Launcher launcher, const KvasirQuantiseKvArgs& args) {
  const char* wrong = wrongI8Pages(args.to);
  if (wrong != nullptr) return launcher.refuse(std::string("quantiseKv: ") + wrong);
  if (args.from.type != KVASIR_F16 && args.from.type != KVASIR_F32) return launcher.refuse("quantiseKv: type must be f16 or f32");
  if (args.from.numKvHeads != args.to.numKvHeads || args.from.headDim != args.to.headDim) {
    return launcher.refuse("quantiseKv: both views must have one number of heads and headDim");
  }
  if ((args.from.pageStride | args.from.layerStride | args.from.headStride | args.from.valueStride) % 16 != 0) {
    return launcher.refuse("quantiseKv: strides must be multiples of 16");
  }
  if (args.pages < 0 || args.numLayers < 0) return launcher.refuse("quantiseKv: pages and numLayers must not be negative");
  Plan plan;
  plan.gridX = static_cast<unsigned>(args.pages);
  plan.gridY = static_cast<unsigned>(args.numLayers * args.from.numKvHeads);
  if (plan.gridX == 0 || plan.gridY == 0) return KVASIR_GPU_OK;
  plan.sharedBytes = QuantiseKv<Half>::kSharedBytes;
  return args.from.type == KVASIR_F16 ? launcher.run<QuantiseKv<Half>>(plan, args) : launcher.run<QuantiseKv<float>>(plan, args);
}

}  // namespace kvasir::gpu
