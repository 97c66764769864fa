// How far an op may be from double precision on the same stored bits: all of them here. Copies and turns are held to bits.
#pragma once

namespace kvasir::gpu::test {

struct Tolerance {
  double norm;      // of the whole answer: |got - want| / |want|
  double relative;  // of each value
  double absolute;  // of each value, beside the relative part
};

// mma of f16 with f32 sums, k = 16: what a device leaves of the low bits of a product is not specified.
constexpr Tolerance kProbeMma = {1e-6, 1e-5, 1e-5};
constexpr Tolerance kProbeSums = {1e-6, 1e-6, 1e-5};
constexpr Tolerance kRoofSums = {1e-5, 1e-4, 1e-3};
constexpr Tolerance kProbeExp2 = {1e-6, 1e-6, 1e-30};

// Decode attention, of each query head: norm of its output, absolute of its lse. Weights rounded to float16; all in float32.
constexpr Tolerance kAttendMma = {5e-4, 0.0, 1e-4};
constexpr Tolerance kAttendSimt = {2e-5, 0.0, 1e-4};
constexpr Tolerance kAttendI8 = {5e-4, 0.0, 1e-4};
constexpr Tolerance kMergedStates = {1e-6, 1e-5, 1e-6};
constexpr Tolerance kAttentionWeights = {1e-5, 2e-5, 1e-8};
// compareKv: f32 sums of squares of a row, 32 ways and then together.
constexpr Tolerance kDistances = {1e-6, 1e-6, 1e-30};
// prepareRows: f64 sums, rounded once.
constexpr Tolerance kLengths = {1e-7, 1e-7, 0.0};

// Prefill attention, of a query head's out by its length, and of lse by the larger of 1 and its own size: on tensor cores, where
// q and weights are rounded to float16, and in float32.
constexpr double kPrefillMma = 1e-3, kPrefillMmaLse = 2e-3;
constexpr double kPrefillSimt = 2e-5, kPrefillSimtLse = 1e-5;
// Attention mass: norm of the whole, relative and absolute of each key's.
constexpr Tolerance kMassMma = {1e-3, 1e-2, 1e-4};
constexpr Tolerance kMassSimt = {2e-5, 1e-4, 1e-6};
// linear, a row at a time: |got - want| against the root of the sum of squares of all products and of what is added. Exact:
// f32 sums of K terms, so times the root of K. Fast: activations and weights of 11 bits.
constexpr double kLinearExact = 2e-6;
constexpr double kLinearFast = 1e-3;

constexpr Tolerance kRmsNorm = {1e-6, 3e-6, 1e-30};
constexpr Tolerance kSiluGate = {1e-6, 4e-6, 1e-30};

}  // namespace kvasir::gpu::test
