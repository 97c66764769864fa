// Ascending tokens as runs that stay within pages.
#pragma once

#include <cstdint>
#include <vector>

#include "kvasir/attention.h"

namespace kvasir::selection {

// Appends the runs of one row; no branch depends on where runs end, which cannot be foreseen.
class RunWriter {
 public:
  // `most` tokens or spans of pages may come.
  RunWriter(std::vector<KvRun>& runs, std::size_t most) : runs_(runs), count_(runs.size()) {
    runs.resize(count_ + most);
  }

  void token(std::int32_t token) {
    const std::int32_t first = token % kPageTokens;
    const bool starts = token != last_ + 1 || first == 0;
    count_ += starts ? 1 : 0;
    first_ = starts ? first : first_;
    runs_[count_ - 1] = {token / kPageTokens, first_, first - first_ + 1};
    last_ = token;
  }

  // Spans and tokens ascend; what touches the last is joined to it.
  void span(std::int32_t start, std::int32_t end) {
    for (std::int32_t at = start; at < end;) {
      token(at);
      const std::int32_t stop = at - at % kPageTokens + kPageTokens;
      last_ = (stop < end ? stop : end) - 1;
      runs_[count_ - 1].len = last_ % kPageTokens - first_ + 1;
      at = last_ + 1;
    }
  }

  void finish() { runs_.resize(count_); }

 private:
  std::vector<KvRun>& runs_;
  std::size_t count_;
  std::int32_t last_ = -2, first_ = 0;
};

}  // namespace kvasir::selection
