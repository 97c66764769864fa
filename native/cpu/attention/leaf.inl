// The table of one instruction set; its leaf has included the right `Vec` before. A leaf is compiled with wide flags,
// so nothing in it may have external linkage but the table: the linker could hand another file's callers its code.
#pragma once

#include "mass.inl"
#include "prefill.inl"
#include "runs.inl"
#include "weights.inl"

namespace kvasir::attention {
namespace {

void storeHalf(const float* in, int count, std::uint16_t* out) {
  int i = 0;
  for (; i + Vec::kLanes <= count; i += Vec::kLanes) Vec::store(out + i, Vec::load(in + i));
  if (i < count) Vec::storePart(out + i, Vec::loadPart(in + i, count - i), count - i);
}

constexpr Kernels kTable = {prefillScratchBytes, prefill, runsScratchBytes, runs, weightsScratchBytes, weights,
                           {massStateBytes, openMass, massStats, closeMass, massWeights, massScratchBytes},
                           storeHalf};

}  // namespace
}  // namespace kvasir::attention
