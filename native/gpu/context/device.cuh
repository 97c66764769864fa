// The context of a body on a device: emulated.h has the same names, and says what each does. All inline PTX is here.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "vocabulary.h"

namespace kvasir::gpu::device {

extern __shared__ __align__(128) unsigned char sharedBytes[];

class Context {
 public:
  template <class Regs>
  class Threads {
   public:
    KVASIR_DEVICE explicit Threads(const Context&) {}
    Regs own;
  };
  template <class T>
  using Shared = T*;

  KVASIR_DEVICE int blockX() const { return static_cast<int>(blockIdx.x); }
  KVASIR_DEVICE int blockY() const { return static_cast<int>(blockIdx.y); }
  KVASIR_DEVICE int gridX() const { return static_cast<int>(gridDim.x); }
  KVASIR_DEVICE int gridY() const { return static_cast<int>(gridDim.y); }
  KVASIR_DEVICE int threads() const { return static_cast<int>(blockDim.x); }

  template <class Regs, class Body>
  KVASIR_DEVICE void each(Threads<Regs>& regs, Body body) {
    body(static_cast<int>(threadIdx.x), regs.own);
  }
  template <class Body>
  KVASIR_DEVICE void each(Body body) {
    body(static_cast<int>(threadIdx.x));
  }
  template <class Body>
  KVASIR_DEVICE void warps(Body body) {
    // From lane 0: the compiler then knows that a warp agrees.
    body(static_cast<int>(__shfl_sync(kAll, threadIdx.x / kWarp, 0)));
  }

  KVASIR_DEVICE void barrier() { __syncthreads(); }
  KVASIR_DEVICE void syncWarp() { __syncwarp(); }

  template <class T>
  KVASIR_DEVICE Shared<T> shared(int count) {
    used_ = (used_ + 15) / 16 * 16;
    T* at = reinterpret_cast<T*>(sharedBytes + used_);
    used_ += count * static_cast<int>(sizeof(T));
    return at;
  }
  template <class T, class From>
  KVASIR_DEVICE Shared<T> view(From* from) {
    return reinterpret_cast<T*>(from);
  }

  template <class Regs, class Access>
  KVASIR_DEVICE auto uniform(Threads<Regs>& regs, const Access& access) {
    return field(regs.own, access);
  }

  // Member by member: a copy of bytes would be compiled into loads of bytes.
  KVASIR_DEVICE static Vec16 load16(const void* from) {
    const uint4 words = *static_cast<const uint4*>(from);
    return {{words.x, words.y, words.z, words.w}};
  }
  KVASIR_DEVICE static Vec8 load8(const void* from) {
    const uint2 words = *static_cast<const uint2*>(from);
    return {{words.x, words.y}};
  }
  KVASIR_DEVICE static void store16(void* to, const Vec16& value) {
    *static_cast<uint4*>(to) = make_uint4(value.word[0], value.word[1], value.word[2], value.word[3]);
  }
  KVASIR_DEVICE static void store8(void* to, const Vec8& value) {
    *static_cast<uint2*>(to) = make_uint2(value.word[0], value.word[1]);
  }

  template <class T>
  KVASIR_DEVICE void copyAsync(T* to, const void* from, int bytes = 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(sharedAddress(to)), "l"(__cvta_generic_to_global(from)),
                 "r"(bytes)
                 : "memory");
  }
  KVASIR_DEVICE void commit() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }
  KVASIR_DEVICE void waitAsync(int groups) {
    // The instruction takes a constant: calls with one leave a single line of this.
    if (groups <= 0) asm volatile("cp.async.wait_group 0;\n" ::: "memory");
    else if (groups == 1) asm volatile("cp.async.wait_group 1;\n" ::: "memory");
    else if (groups == 2) asm volatile("cp.async.wait_group 2;\n" ::: "memory");
    else asm volatile("cp.async.wait_group 3;\n" ::: "memory");
  }

  KVASIR_DEVICE static float toFloat(Half half) { return __half2float(__ushort_as_half(half.bits)); }
  KVASIR_DEVICE static Half toHalf(float value) { return {static_cast<std::uint16_t>(toHalves(value, 0.0f))}; }
  KVASIR_DEVICE static void toFloats(std::uint32_t halves, float& first, float& second) {
    const float2 both = __half22float2(asHalf2(halves));
    first = both.x;
    second = both.y;
  }
  KVASIR_DEVICE static std::uint32_t toHalves(float first, float second) {
    // Infinities of the rounding go to the largest finite value; NaN stays.
    const __half2 bound = asHalf2(0x7bff7bffu), rounded = __floats2half2_rn(first, second);
    return wordOf(__hmax2_nan(__hmin2_nan(rounded, bound), __hneg2(bound)));
  }
  KVASIR_DEVICE static std::uint32_t addHalves(std::uint32_t a, std::uint32_t b) {
    return wordOf(__hadd2_rn(asHalf2(a), asHalf2(b)));
  }
  KVASIR_DEVICE static std::uint32_t multiplyHalves(std::uint32_t a, std::uint32_t b) {
    return wordOf(__hmul2_rn(asHalf2(a), asHalf2(b)));
  }
  KVASIR_DEVICE static std::uint32_t fmaHalves(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
    return wordOf(__hfma2(asHalf2(a), asHalf2(b), asHalf2(c)));
  }
  template <bool kSigned>
  KVASIR_DEVICE static void bytesToHalves(std::uint32_t bytes, std::uint32_t& low, std::uint32_t& high) {
    // 1024 plus a byte is a float16 whose lower byte that is.
    const __half2 zero = asHalf2(kSigned ? 0x64806480u : 0x64006400u);
    const std::uint32_t raised = kSigned ? bytes ^ 0x80808080u : bytes;
    const __half2 lower = __hsub2(asHalf2(__byte_perm(raised, 0x64646464u, 0x4140)), zero);
    const __half2 upper = __hsub2(asHalf2(__byte_perm(raised, 0x64646464u, 0x4342)), zero);
    low = *reinterpret_cast<const std::uint32_t*>(&lower);
    high = *reinterpret_cast<const std::uint32_t*>(&upper);
  }
  KVASIR_DEVICE static void interleaveBytes(std::uint32_t a, std::uint32_t b, std::uint32_t& low, std::uint32_t& high) {
    low = __byte_perm(a, b, 0x5140);
    high = __byte_perm(a, b, 0x7362);
  }
  KVASIR_DEVICE static std::uint32_t roundToHalves(float first, float second) {
    const __half2 rounded = __floats2half2_rn(first, second);
    return *reinterpret_cast<const std::uint32_t*>(&rounded);
  }
  KVASIR_DEVICE static float asFloat(std::uint32_t bits) { return __uint_as_float(bits); }
  KVASIR_DEVICE static std::uint32_t asBits(float value) { return __float_as_uint(value); }

  KVASIR_DEVICE static float fma(float a, float b, float c) { return __fmaf_rn(a, b, c); }
  KVASIR_DEVICE static float exp2(float x) { return ::exp2f(x); }
  KVASIR_DEVICE static float log2(float x) { return ::log2f(x); }
  KVASIR_DEVICE static float exp2Approx(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
  }
  KVASIR_DEVICE static float log2Approx(float x) {
    float y;
    asm("lg2.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
  }
  KVASIR_DEVICE static float sqrt(float x) { return __fsqrt_rn(x); }
  KVASIR_DEVICE static float max(float a, float b) { return ::fmaxf(a, b); }
  KVASIR_DEVICE static float min(float a, float b) { return ::fminf(a, b); }
  KVASIR_DEVICE static float abs(float x) { return ::fabsf(x); }
  KVASIR_DEVICE static double sqrt(double x) { return __dsqrt_rn(x); }
  KVASIR_DEVICE static std::uint32_t addByteDifferences(std::uint32_t a, std::uint32_t b, std::uint32_t sum) {
    return __vsadu4(a, b) + sum;
  }
  KVASIR_DEVICE static int popcount(std::uint32_t bits) { return __popc(bits); }
  KVASIR_DEVICE static int dot4(std::uint32_t a, std::uint32_t b, int sum) {
    return __dp4a(static_cast<int>(a), static_cast<int>(b), sum);
  }
  KVASIR_DEVICE static int leadingZeros(std::uint32_t bits) { return __clz(static_cast<int>(bits)); }

  template <class T>
  KVASIR_DEVICE T atomicAdd(T* to, T value) {
    return ::atomicAdd(to, value);
  }
  template <class T>
  KVASIR_DEVICE T atomicMax(T* to, T value) {
    return ::atomicMax(to, value);
  }
  template <class T>
  KVASIR_DEVICE T atomicMin(T* to, T value) {
    return ::atomicMin(to, value);
  }
  template <class T>
  KVASIR_DEVICE T atomicOr(T* to, T value) {
    return ::atomicOr(to, value);
  }
  template <class T>
  KVASIR_DEVICE T loadRelaxed(const T* from) {
    return *static_cast<const volatile T*>(from);
  }
  template <class T>
  KVASIR_DEVICE void storeRelaxed(T* to, T value) {
    *static_cast<volatile T*>(to) = value;
  }
  KVASIR_DEVICE static void threadFence() { __threadfence(); }

  template <int Width = kWarp, class Regs, class Access>
  KVASIR_DEVICE void warpSum(Threads<Regs>& regs, const Access& access) {
    butterflies<Width>(field(regs.own, access), [](auto a, auto b) { return a + b; });
  }
  template <int Width = kWarp, class Regs, class Access>
  KVASIR_DEVICE void warpMax(Threads<Regs>& regs, const Access& access) {
    butterflies<Width>(field(regs.own, access), [](auto a, auto b) { return b > a ? b : a; });
  }
  template <int Width = kWarp, class Regs, class Access>
  KVASIR_DEVICE void warpMin(Threads<Regs>& regs, const Access& access) {
    butterflies<Width>(field(regs.own, access), [](auto a, auto b) { return b < a ? b : a; });
  }
  template <class Regs, class From, class To>
  KVASIR_DEVICE void shuffleXor(Threads<Regs>& regs, const From& from, const To& to, int mask) {
    field(regs.own, to) = __shfl_xor_sync(kAll, field(regs.own, from), mask);
  }
  template <class Regs, class From, class To, class LaneOf>
  KVASIR_DEVICE void shuffle(Threads<Regs>& regs, const From& from, const To& to, const LaneOf& laneOf) {
    field(regs.own, to) = __shfl_sync(kAll, field(regs.own, from), laneOf(static_cast<int>(threadIdx.x), regs.own));
  }
  template <class Regs, class Holds, class Word>
  KVASIR_DEVICE void ballot(Threads<Regs>& regs, const Holds& holds, const Word& word) {
    field(regs.own, word) = __ballot_sync(kAll, holds(static_cast<int>(threadIdx.x), regs.own));
  }
  template <class Regs, class Access>
  KVASIR_DEVICE void warpScan(Threads<Regs>& regs, const Access& access) {
    auto& value = field(regs.own, access);
    KVASIR_UNROLL
    for (int step = 1; step < kWarp; step *= 2) {
      const auto below = __shfl_up_sync(kAll, value, step);
      if (static_cast<int>(threadIdx.x % kWarp) >= step) value = value + below;
    }
  }

  template <class Regs, class C, class A, class B>
  KVASIR_DEVICE void mma16816(Threads<Regs>& regs, const C& c, const A& a, const B& b) {
    float(&sums)[4] = field(regs.own, c);
    const std::uint32_t(&left)[4] = field(regs.own, a);
    const std::uint32_t(&right)[2] = field(regs.own, b);
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right[0]), "r"(right[1]));
  }

  template <class Regs, class From, class To>
  KVASIR_DEVICE void transpose(Threads<Regs>& regs, const From& from, const To& to) {
    std::uint32_t& out = field(regs.own, to);
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;\n" : "=r"(out) : "r"(field(regs.own, from)));
  }

  template <bool Transposed = false, class Regs, class Out, class RowOf>
  KVASIR_DEVICE void ldmatrix4(Threads<Regs>& regs, const Out& out, const RowOf& rowOf) {
    std::uint32_t(&words)[4] = field(regs.own, out);
    const std::uint32_t row = sharedAddress(rowOf(static_cast<int>(threadIdx.x), regs.own));
    if constexpr (Transposed) {
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                   : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                   : "r"(row)
                   : "memory");
    } else {
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                   : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                   : "r"(row)
                   : "memory");
    }
  }
  template <bool Transposed = false, class Regs, class Out, class RowOf>
  KVASIR_DEVICE void ldmatrix2(Threads<Regs>& regs, const Out& out, const RowOf& rowOf) {
    std::uint32_t(&words)[2] = field(regs.own, out);
    // Lanes from 16 on have no row: their addresses are those of the lanes below, never read.
    const std::uint32_t row = sharedAddress(rowOf(static_cast<int>(threadIdx.x & ~16u), regs.own));
    if constexpr (Transposed) {
      asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];\n"
                   : "=r"(words[0]), "=r"(words[1])
                   : "r"(row)
                   : "memory");
    } else {
      asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];\n"
                   : "=r"(words[0]), "=r"(words[1])
                   : "r"(row)
                   : "memory");
    }
  }

 private:
  static constexpr unsigned kAll = 0xffffffffu;

  KVASIR_DEVICE static __half2 asHalf2(std::uint32_t halves) { return *reinterpret_cast<const __half2*>(&halves); }
  KVASIR_DEVICE static std::uint32_t wordOf(__half2 halves) { return *reinterpret_cast<const std::uint32_t*>(&halves); }
  template <class T>
  KVASIR_DEVICE static std::uint32_t sharedAddress(T* at) {
    return static_cast<std::uint32_t>(__cvta_generic_to_shared(at));
  }
  template <int Width, class T, class Join>
  KVASIR_DEVICE static void butterflies(T& value, const Join& join) {
    static_assert(Width >= 2 && Width <= kWarp && (Width & (Width - 1)) == 0, "a power of two of lanes");
    KVASIR_UNROLL
    for (int mask = Width / 2; mask > 0; mask /= 2) value = join(value, __shfl_xor_sync(kAll, value, mask));
  }

  int used_ = 0;
};

}  // namespace kvasir::gpu::device
