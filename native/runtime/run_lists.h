// One run list a sequence of a batch, and their concatenation, which attention reads.
#pragma once

#include <vector>

#include "kvasir/attention.h"

namespace kvasir {

class RunLists {
 public:
  RunLists(int maxSequences, int numKvHeads);

  int numKvHeads() const { return numKvHeads_; }
  int maxSequences() const { return static_cast<int>(lists_.size()); }
  const ChosenRuns& at(int sequence) const { return lists_[sequence]; }

  // The list of a sequence, to be rewritten whole.
  ChosenRuns& rewrite(int sequence);

  void clear(int sequence);

  // Makes a list name indices [first, end) for every KV head.
  void setSpan(int sequence, int first, int end);

  // First index past the runs of a sequence.
  int endOf(int sequence) const;

  // The first numSequences lists as one; valid until a list changes.
  RunRows rows(int numSequences);

 private:
  struct Span {
    int first;
    int end;
  };

  int numKvHeads_;
  std::vector<ChosenRuns> lists_;
  std::vector<Span> spans_;  // what setSpan left; end = -1: something else
  std::vector<std::int32_t> rowStarts_;
  std::vector<KvRun> runs_;
  int joined_ = -1;  // sequences that rowStarts_ and runs_ hold; -1: stale
};

}  // namespace kvasir
