// What the kernels of selectRuns share: their arguments, where things lie, and which tokens a row may choose among.
#pragma once

#include "../args/select_runs.h"
#include "../context/vocabulary.h"

namespace kvasir::gpu {

constexpr int kSelectHeads = 4;  // query heads that a kernel works on at once
constexpr int kSelectChunk = KVASIR_SELECT_CHUNK;
constexpr float kSelectLog2E = 1.44269504f;

struct SelectArgs {
  KvasirSelectRunsArgs op;
  KvasirIndexLayout index;
  KvasirSelectLayout work;
  int group;        // query heads of a KV head
  int headsPerRow;  // of a row of the choice: the group, or 1
  int kinds;        // 2 where estimates are made for another query
};

// What a row of the choice has to do; a row of plans in the workspace.
struct SelectPlan {
  std::int32_t first, end;   // candidates lie in [first, end)
  std::int32_t candidates;   // of them kept
  std::int32_t wanted;       // of them, on average over the rows
  std::int32_t pooled;       // of them scored exactly, on average; what the first cut leaves
  std::int32_t visible;      // rows outside [first, end) that are kept
  std::int32_t exact;        // the first cut is by exact scores of all candidates
  std::int32_t unused;
};

template <class T>
KVASIR_DEVICE T* workAt(const SelectArgs& args, std::size_t part) {
  return reinterpret_cast<T*>(static_cast<std::uint8_t*>(args.op.workspace) + part);
}

KVASIR_DEVICE std::size_t tokenStride(const SelectArgs& args) { return wide(args.work.chunks) * KVASIR_SELECT_CHUNK; }

KVASIR_DEVICE SelectPlan& planOf(const SelectArgs& args, int row) { return workAt<SelectPlan>(args, args.work.plans)[row]; }

KVASIR_DEVICE bool scoresExactly(const SelectArgs& args, const KvasirSelectSequence& sequence) {
  return args.op.exact != 0 || sequence.codedTokens == 0;
}

// Where the candidates lie.
KVASIR_DEVICE void candidateSpan(const SelectArgs& args, const KvasirSelectSequence& sequence, int& first, int& end) {
  const int indexed = args.op.exact != 0 ? sequence.numTokens : sequence.indexedTokens;
  end = most(0, least(indexed, sequence.numTokens - args.op.recentTokens));
  first = least(args.op.sinkTokens, end);
}

// The current row always stands.
KVASIR_DEVICE bool isKept(const KvasirSelectSequence& sequence, int kvHead, int token) {
  if (sequence.kept == nullptr || token >= least(sequence.keptEnd, sequence.numTokens - 1)) return true;
  const std::uint64_t word = sequence.kept[wide(kvHead) * wide(sequence.keptStride) + wide(token / 64)];
  return ((word >> (token % 64)) & 1u) != 0;
}

KVASIR_DEVICE const std::uint8_t* indexOf(const SelectArgs& args, const KvasirSelectSequence& sequence, int kvHead) {
  return sequence.index + (wide(args.op.layer) * wide(args.op.kv.numKvHeads) + wide(kvHead)) * sequence.headBytes;
}

KVASIR_DEVICE float minusInfinity() { return -__builtin_huge_valf(); }

}  // namespace kvasir::gpu
