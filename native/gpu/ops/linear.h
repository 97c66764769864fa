// linear: checks a call, prepares x where the fast mode needs it, and starts the body of its path and mode.
#pragma once

#include "../context/launcher.h"
#include "linear_decode.h"
#include "linear_exact.h"
#include "linear_prefill.h"
#include "scale_rows.h"

namespace kvasir::gpu {

inline const char* wrongWithLinear(const KvasirLinearArgs& args) {
  if (args.rows < 0) return "linear: rows is negative";
  if (args.numParts < 1 || args.numParts > KVASIR_LINEAR_PARTS) return "linear: numParts must be 1 to 4";
  if (args.path != KVASIR_LINEAR_PREFILL && args.path != KVASIR_LINEAR_DECODE) return "linear: unknown path";
  if (args.mode != KVASIR_LINEAR_EXACT && args.mode != KVASIR_LINEAR_FAST) return "linear: unknown mode";
  const bool fast = args.mode == KVASIR_LINEAR_FAST;
  if (!fast && args.x == nullptr) return "linear: exact needs x";
  if (fast && (args.prepared.halves == nullptr || args.prepared.scales == nullptr)) return "linear: fast needs prepared";
  if (fast && !isAligned(args.prepared.halves)) return "linear: prepared.halves must be 16-byte aligned";
  for (int p = 0; p < args.numParts; ++p) {
    const KvasirLinearPart& part = args.parts[p];
    if (part.weight.rows < 0 || part.weight.cols < 0) return "linear: a weight's rows or cols is negative";
    if (part.weight.cols != args.parts[0].weight.cols) return "linear: parts must share cols";
    if (tileLayoutOf(part.weight.type).bits == 0) return "linear: unknown weight type";
    if (!isAligned(part.weight.data)) return "linear: weights must be 16-byte aligned";
    if (part.outStride < static_cast<std::size_t>(part.weight.rows)) return "linear: outStride is less than a weight's rows";
  }
  if (args.x != nullptr && args.xStride < static_cast<std::size_t>(args.parts[0].weight.cols)) return "linear: xStride is less than cols";
  return nullptr;
}

// Everything but the parts.
inline LinearArgs commonArgs(const KvasirLinearArgs& args) {
  LinearArgs out{};
  out.x = args.x;
  out.xStride = args.xStride;
  out.vectors = args.xStride % 4 == 0 && isAligned(args.x);
  out.halves = args.prepared.halves;
  out.scales = args.prepared.scales;
  out.rows = args.rows;
  out.cols = args.parts[0].weight.cols;
  out.tiles = tilesOf(out.cols);
  return out;
}

inline void addPart(LinearArgs& args, const KvasirLinearPart& part, int blocks) {
  args.parts[args.numParts++] = {static_cast<const std::uint32_t*>(part.weight.data), part.bias, part.out, part.outStride,
                                 storedAs(part.weight.type), part.weight.rows, blocks, part.accumulate != 0};
}

// All parts in one grid.
template <class Kernel>
int runLinear(Launcher& launcher, const KvasirLinearArgs& call) {
  LinearArgs args = commonArgs(call);
  for (int p = 0; p < call.numParts; ++p) addPart(args, call.parts[p], Kernel::blocksOf(call.parts[p].weight.rows));
  return launcher.run<Kernel>(Kernel::plan(args), args);
}

// One grid a type: the decode kernels are made for one each.
template <bool kFast>
int runLinearDecode(Launcher& launcher, const KvasirLinearArgs& call) {
  unsigned done = 0;
  for (int p = 0; p < call.numParts; ++p) {
    if (done >> p & 1) continue;
    LinearArgs args = commonArgs(call);
    const int stored = storedAs(call.parts[p].weight.type);
    for (int other = p; other < call.numParts; ++other) {
      if (storedAs(call.parts[other].weight.type) != stored) continue;
      addPart(args, call.parts[other], groupsOf(call.parts[other].weight.rows));
      done |= 1u << other;
    }
    const int status = withStoredType(stored, [&](auto type) {
      using Kernel = LinearDecode<decltype(type)::value, kFast>;
      return launcher.run<Kernel>(Kernel::plan(args), args);
    });
    if (status != KVASIR_GPU_OK) return status;
  }
  return KVASIR_GPU_OK;
}

inline int launchLinear(Launcher launcher, const KvasirLinearArgs& args) {
  if (const char* wrong = wrongWithLinear(args)) return launcher.refuse(wrong);
  if (args.rows == 0) return KVASIR_GPU_OK;
  const bool decode = args.path == KVASIR_LINEAR_DECODE;
  if (args.mode == KVASIR_LINEAR_EXACT) {
    return decode ? runLinearDecode<false>(launcher, args) : runLinear<LinearExact>(launcher, args);
  }
  if (args.x != nullptr) {
    const LinearArgs common = commonArgs(args);
    const int status = launcher.run<ScaleRows>(ScaleRows::plan(args.rows), {args.x, args.xStride, common.cols, common.tiles * kTileCols,
                                                                                common.vectors, args.prepared});
    if (status != KVASIR_GPU_OK) return status;
  }
  if (decode) return runLinearDecode<true>(launcher, args);
  // Few blocks, or few rows: smaller ones, with the same sums.
  int outBlocks = 0;
  for (int p = 0; p < args.numParts; ++p) outBlocks += LinearPrefill<12>::blocksOf(args.parts[p].weight.rows);
  const long long blocks = static_cast<long long>(outBlocks) * ceilDiv(args.rows, LinearPrefill<12>::kRows);
  const bool small = args.rows <= LinearPrefill<4>::kRows || blocks < launcher.multiprocessors();
  return small ? runLinear<LinearPrefill<4>>(launcher, args) : runLinear<LinearPrefill<12>>(launcher, args);
}

}  // namespace kvasir::gpu
