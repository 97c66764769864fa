#include "query_state.h"

#include <cmath>

namespace kvasir::selection {
namespace {

std::size_t queryLength(const SelectInput& input) {
  return static_cast<std::size_t>(input.numHeads) * static_cast<std::size_t>(input.kv.headDim);
}

double cosine(const float* a, const float* b, std::size_t n) {
  double dot = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    dot += x * y;
    aa += x * x;
    bb += y * y;
  }
  return aa > 0 && bb > 0 ? dot / std::sqrt(aa * bb) : -1;
}

}  // namespace

const float* RunningQuery::next(const SelectInput& input, int numSegments, QueryKind kind, float decay) {
  const std::size_t n = queryLength(input);
  if (numSegments != numSegments_ || input.numTokens <= numTokens_ || q_.size() != n) steps_ = 0;
  numSegments_ = numSegments;
  numTokens_ = input.numTokens;
  ++steps_;
  if (steps_ == 1) {
    q_.assign(input.q, input.q + n);
    return q_.data();
  }
  const float share = kind == QueryKind::mean ? 1.0f / static_cast<float>(steps_) : 1.0f - decay;
  for (std::size_t i = 0; i < n; ++i) q_[i] += share * (input.q[i] - q_[i]);
  return q_.data();
}

bool StandingChoice::stands(const SelectInput& input, int rerankSteps, float driftLimit) {
  if (steps_ == 0 || steps_ >= rerankSteps || input.numTokens != numTokens_ + 1) return false;
  if (q_.size() != queryLength(input) || cosine(q_.data(), input.q, q_.size()) < static_cast<double>(driftLimit)) return false;
  ++steps_;
  numTokens_ = input.numTokens;
  return true;
}

void StandingChoice::stand(const SelectInput& input) {
  q_.assign(input.q, input.q + queryLength(input));
  steps_ = 1;
  numTokens_ = input.numTokens;
}

}  // namespace kvasir::selection
