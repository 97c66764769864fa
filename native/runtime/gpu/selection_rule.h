// What selectRuns is asked for by the selectors of a run, where it can do what they say.
#pragma once

#include <optional>

#include "../steps.h"
#include "device_index.h"

namespace kvasir::gpu {

struct SelectionRule {
  BudgetRule budget;
  int poolTokens = 0;
  bool exact = false;
  KvasirIndexShape index{};  // of all sequences, but for the capacities

  // Null: a selector is not native, differs from the others, or asks for what the op has not.
  static std::optional<SelectionRule> of(const Run& run, const SelectRunsStep& step);
};

// Bounds of what a choice by the rule may take, of sequences that hold up to this much; rounded up, so that they stay the
// same over many steps.
struct SelectionBounds {
  int maxTokens = 0;      // of a sequence
  int maxSegments = 0;
  int maxListTokens = 0;  // of a list
  std::size_t maxRuns = 0;  // of all lists
  bool allCoded = true;

  static SelectionBounds of(const Run& run, const SelectRunsStep& step, const SelectionRule& rule);
};

// The index of a native selector; null: an exact one.
const SegmentIndex* indexOf(const SelectorChoice& choice);

}  // namespace kvasir::gpu
