// Ascending tokens as runs that stay within pages.
#pragma once

#include <cstdint>
#include <vector>

#include "kvasir/attention.h"

namespace kvasir::selection {

class RunWriter {
 public:
  explicit RunWriter(std::vector<KvRun>& runs) : runs_(runs) {}

  // Spans ascend; one that touches the last is joined to it.
  void span(std::int32_t start, std::int32_t end) {
    if (start >= end) return;
    if (start != end_) {
      flush();
      start_ = start;
    }
    end_ = end;
  }

  void flush() {
    for (std::int32_t at = start_; at < end_;) {
      const std::int32_t first = at % kPageTokens;
      const std::int32_t left = end_ - at, room = kPageTokens - first;
      const std::int32_t len = left < room ? left : room;
      runs_.push_back({at / kPageTokens, first, len});
      at += len;
    }
    start_ = end_ = -1;
  }

 private:
  std::vector<KvRun>& runs_;
  std::int32_t start_ = -1, end_ = -1;
};

}  // namespace kvasir::selection
