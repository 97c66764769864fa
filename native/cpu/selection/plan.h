// What a choice works on: visible tokens, candidates, and which stretches of the index are scanned for them.
#pragma once

#include <vector>

#include "kernels.h"

namespace kvasir::selection {

// Blocks that one task scores; fixed, so that sums do not depend on the number of workers.
constexpr int kChunkBlocks = 128;

// Scores are in base 2: powers of two are what the softmax takes.
constexpr float kLog2E = 1.44269504f;
inline float varianceScale(float scale) { return 0.5f * scale * scale * kLog2E; }

// Candidates and visible tokens of one KV head. Candidates lie at positions [begin, end); a position is the token of
// `tokens`, or of the same number.
struct HeadPlan {
  std::vector<std::int32_t> visible;
  int begin = 0, end = 0;
  const std::int32_t* tokens = nullptr;
  int candidates = 0;  // of them kept
  int wanted = 0;      // of them, on average over the heads
  // Where estimates are made:
  const SegmentBlock* blocks = nullptr;
  int numBlocks = 0;
  const std::int32_t* segments = nullptr;  // by place, or null
  std::vector<std::int32_t> ownTokens, ownSegments;
  std::vector<SegmentBlock> ownBlocks;

  std::int32_t tokenAt(int position) const { return tokens ? tokens[position] : position; }
};

// Plans of all KV heads for choices among tokens [first, end); nothing is listed yet.
std::vector<HeadPlan> planHeads(const SelectInput& input, const BudgetRule& rule, int first, int end);

// Names the kept tokens of [0, first) and [end, numTokens).
void listVisible(const SelectInput& input, HeadPlan& plan, int kvHead);

// Names the kept candidates one by one, so that no other row is asked for.
void listCandidates(const SelectInput& input, HeadPlan& plan, int kvHead);

// Scans the whole index.
void scanAll(const SegmentIndex& index, HeadPlan& plan);

// Scans the segments of the largest `values` [numSegments] until `most` kept candidates are in; ties: the lower segment.
void scanBest(const SelectInput& input, const SegmentIndex& index, const float* values, int most, HeadPlan& plan,
              int kvHead);

// What each KV head scans for estimates of this query: all of the index, or what the prefilter of the rule leaves.
void planScans(Context& context, const SelectInput& input, const float* q, const SegmentIndex& index,
               const SegmentRule& rule, std::vector<HeadPlan>& plans);

}  // namespace kvasir::selection
