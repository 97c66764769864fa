// The fewest largest masses that reach a share of their sum: a block a vector, three histograms of 11, 11 and 9 bits of the
// float, whose sums are integers and so do not depend on the order of the atomic additions.
// Bound: three reads of the vector, the later ones from the second-level cache; 128k masses, about 10 us.
#pragma once

#include <cmath>
#include <string>

#include "../args/attention_recovery.h"
#include "../context/launcher.h"

namespace kvasir::gpu {

struct AttentionRecovery {
  using Args = KvasirAttentionRecoveryArgs;
  static constexpr int kThreads = 512;
  static constexpr int kMinBlocks = 2;
  static constexpr int kBuckets = 2048;
  static constexpr int kLaneBuckets = kBuckets / kWarp;
  static constexpr unsigned kSharedBytes = 3 * kBuckets * 4 + kThreads / kWarp * 4 + 8 * 4;
  static constexpr std::uint32_t kMostBits = 0x7f7fffffu;  // of a finite float

  struct Regs {
    std::uint32_t most, crosses;
    std::uint64_t sum, above;       // of this lane's buckets; of those above them
    std::uint32_t count, countAbove;
  };

  // Where the walk from the largest mass down stands: the masses above are taken, the rest is among those with these bits.
  struct Walk {
    std::uint32_t prefix = 0;
    std::uint64_t missing = 0;
    std::uint32_t taken = 0;
  };

  template <class Cx>
  static KVASIR_DEVICE void body(Cx& cx, const Args& args) {
    auto low = cx.template shared<std::uint32_t>(kBuckets);
    auto high = cx.template shared<std::uint32_t>(kBuckets);
    auto counts = cx.template shared<std::uint32_t>(kBuckets);
    auto most = cx.template shared<std::uint32_t>(kThreads / kWarp);
    auto found = cx.template shared<std::uint32_t>(8);
    typename Cx::template Threads<Regs> regs(cx);
    const int vector = cx.blockX();
    const float* masses = args.masses + static_cast<std::size_t>(vector) * args.stride;

    cx.each(regs, [&](int thread, Regs& r) {
      r.most = 0;
      for (int i = thread; i < args.n; i += kThreads) {
        const std::uint32_t bits = bitsOf(cx, masses[i]);
        r.most = bits > r.most ? bits : r.most;
      }
    });
    cx.warpMax(regs, &Regs::most);
    cx.each(regs, [&](int thread, Regs& r) {
      if (thread % kWarp == 0) most[thread / kWarp] = r.most;
    });
    cx.barrier();
    std::uint32_t largest = 0;
    for (int warp = 0; warp < kThreads / kWarp; ++warp) {
      const std::uint32_t bits = most[warp];
      largest = bits > largest ? bits : largest;
    }
    if (largest == 0 || largest > kMostBits) {
      cx.each([&](int thread) {
        if (thread == 0) write(args, vector, largest == 0 ? 0 : -1, largest == 0 ? INFINITY : NAN);
      });
      return;
    }

    Walk walk;
    for (int pass = 0; pass < 3; ++pass) {
      const int shift = pass == 0 ? 20 : pass == 1 ? 9 : 0, width = pass == 2 ? 9 : 11;
      cx.each([&](int thread) {
        for (int i = thread; i < kBuckets; i += kThreads) low[i] = high[i] = counts[i] = 0u;
      });
      cx.barrier();
      cx.each([&](int thread) {
        for (int i = thread; i < args.n; i += kThreads) {
          const std::uint32_t bits = bitsOf(cx, masses[i]);
          if (pass > 0 && bits >> (shift + width) != walk.prefix) continue;
          const int bucket = static_cast<int>(bits >> shift & ((1u << width) - 1u));
          const std::uint64_t fixed = fixedOf(bits, largest);
          const std::uint32_t part = static_cast<std::uint32_t>(fixed);
          const std::uint32_t before = cx.atomicAdd(low + bucket, part);
          const std::uint32_t upper = static_cast<std::uint32_t>(fixed >> 32) + (before + part < before ? 1u : 0u);
          if (upper != 0) cx.atomicAdd(high + bucket, upper);
          cx.atomicAdd(counts + bucket, std::uint32_t{1});
        }
      });
      cx.barrier();
      cx.warps([&](int warp) {
        if (warp == 0) descend(cx, regs, low, high, counts, found, pass == 0, args.tau, walk);
      });
      cx.barrier();
      walk.missing = static_cast<std::uint64_t>(found[1]) << 32 | static_cast<std::uint32_t>(found[0]);
      walk.taken = found[2];
      walk.prefix = walk.prefix << width | static_cast<std::uint32_t>(found[3]);
    }
    cx.each([&](int thread) {
      if (thread != 0) return;
      // What is left are masses of one value.
      const std::uint64_t each = fixedOf(walk.prefix, largest);
      const std::uint64_t more = (walk.missing + each - 1) / each;
      write(args, vector, static_cast<std::int32_t>(walk.taken + static_cast<std::uint32_t>(more)), cx.asFloat(walk.prefix));
    });
  }

 private:
  // Order of the bits is that of the masses; whatever is no mass is above them.
  template <class Cx>
  static KVASIR_DEVICE std::uint32_t bitsOf(Cx& cx, float mass) {
    return mass == 0.0f ? 0u : cx.asBits(mass);
  }

  // In units of 2^-40 of the power of two above the largest.
  static KVASIR_DEVICE std::uint64_t fixedOf(std::uint32_t bits, std::uint32_t largest) {
    const std::uint32_t mantissa = bits >= 0x00800000u ? (bits & 0x007fffffu) | 0x00800000u : bits;
    const int exponent = bits >= 0x00800000u ? static_cast<int>(bits >> 23) : 1;
    const int top = largest >= 0x00800000u ? static_cast<int>(largest >> 23) : 1;
    const int shift = exponent - top + 16;
    if (shift >= 0) return static_cast<std::uint64_t>(mantissa) << shift;
    return shift < -25 ? 0 : (static_cast<std::uint64_t>(mantissa) + (std::uint64_t{1} << (-shift - 1))) >> -shift;
  }

  static KVASIR_DEVICE void write(const Args& args, int vector, std::int32_t count, float least) {
    args.count[vector] = count;
    if (args.least != nullptr) args.least[vector] = least;
  }

  // Finds the bucket in which the sum from the top reaches what is missing: found = (missing within it, two words; masses above
  // it; its number). One warp, lane 0 with the uppermost buckets.
  template <class Cx>
  static KVASIR_DEVICE void descend(Cx& cx, typename Cx::template Threads<Regs>& regs, typename Cx::template Shared<std::uint32_t> low,
                                    typename Cx::template Shared<std::uint32_t> high, typename Cx::template Shared<std::uint32_t> counts,
                                    typename Cx::template Shared<std::uint32_t> found, bool isFirst, double tau, const Walk& walk) {
    const auto sumAt = [&](int bucket) {
      const std::uint32_t lower = low[bucket], upper = high[bucket];
      return static_cast<std::uint64_t>(upper) << 32 | lower;
    };
    cx.each(regs, [&](int thread, Regs& r) {
      r.sum = 0;
      r.count = 0;
      for (int i = 0; i < kLaneBuckets; ++i) {
        const int bucket = kBuckets - 1 - thread % kWarp * kLaneBuckets - i;
        r.sum += sumAt(bucket);
        r.count += counts[bucket];
      }
      r.above = r.sum;
      r.countAbove = r.count;
    });
    cx.warpScan(regs, &Regs::above);
    cx.warpScan(regs, &Regs::countAbove);
    std::uint64_t missing = walk.missing;
    if (isFirst) {
      cx.shuffle(regs, &Regs::above, &Regs::sum, [](int, const Regs&) { return kWarp - 1; });
      const std::uint64_t total = cx.uniform(regs, &Regs::sum);
      const double share = tau * static_cast<double>(total);
      missing = static_cast<std::uint64_t>(share);
      if (static_cast<double>(missing) < share) ++missing;
      missing = missing > total ? total : missing == 0 ? 1 : missing;
    }
    cx.ballot(regs, [&](int, const Regs& r) { return r.above >= missing; }, &Regs::crosses);
    cx.each(regs, [&](int thread, Regs& r) {
      const int lane = thread % kWarp;
      // The first lane that reaches it.
      if ((r.crosses & (0u - r.crosses)) != 1u << lane) return;
      std::uint64_t left = missing;
      std::uint32_t taken = walk.taken + r.countAbove - r.count;
      std::uint64_t own = 0;
      for (int i = 0; i < kLaneBuckets; ++i) own += sumAt(kBuckets - 1 - lane * kLaneBuckets - i);
      left -= r.above - own;
      for (int i = 0; i < kLaneBuckets; ++i) {
        const int bucket = kBuckets - 1 - lane * kLaneBuckets - i;
        const std::uint64_t sum = sumAt(bucket);
        if (sum >= left) {
          found[0] = static_cast<std::uint32_t>(left);
          found[1] = static_cast<std::uint32_t>(left >> 32);
          found[2] = taken;
          found[3] = static_cast<std::uint32_t>(bucket);
          return;
        }
        left -= sum;
        taken += counts[bucket];
      }
    });
  }
};

inline int launchAttentionRecovery(Launcher launcher, const KvasirAttentionRecoveryArgs& args) {
  if (args.numVectors < 0 || args.n < 0 || args.n > 1 << 22) return launcher.refuse("attentionRecovery: n must be at most 2^22, counts not negative");
  if (!(args.tau > 0.0 && args.tau <= 1.0)) return launcher.refuse("attentionRecovery: tau must be above 0 and at most 1");
  if (args.numVectors > 1 && args.stride < static_cast<std::size_t>(args.n)) return launcher.refuse("attentionRecovery: stride must be at least n");
  const Plan plan = {static_cast<unsigned>(args.numVectors), 1, AttentionRecovery::kSharedBytes};
  return launcher.run<AttentionRecovery>(plan, args);
}

}  // namespace kvasir::gpu
