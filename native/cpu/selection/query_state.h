// What a selector keeps of a layer between steps.
#pragma once

#include <vector>

#include "choice.h"
#include "kvasir/selection.h"

namespace kvasir::selection {

// Mean or exponential average of the queries since a segment closed or the sequence was cut back.
class RunningQuery {
 public:
  // Takes the query of a step in; the running one [numHeads][headDim], valid until the next call.
  const float* next(const SelectInput& input, int numSegments, QueryKind kind, float decay);

 private:
  std::vector<float> q_;
  int steps_ = 0;
  int numSegments_ = 0;
  int numTokens_ = 0;
};

// A choice that may answer the steps that follow.
class StandingChoice {
 public:
  TokenChoice choice;

  // Whether it answers this step: the next one, within rerankSteps of the choice, by a query that has not drifted.
  bool stands(const SelectInput& input, int rerankSteps, float driftLimit);
  // `choice` was made for this input.
  void stand(const SelectInput& input);
  void forget() { steps_ = 0; }

 private:
  std::vector<float> q_;
  int steps_ = 0;  // answered, the first included; 0: there is no choice
  int numTokens_ = 0;
};

}  // namespace kvasir::selection
