#include "run_lists.h"

#include <algorithm>

namespace kvasir {

RunLists::RunLists(int maxSequences, int numKvHeads)
    : numKvHeads_(numKvHeads), lists_(maxSequences), spans_(maxSequences) {
  for (int s = 0; s < maxSequences; ++s) clear(s);
}

ChosenRuns& RunLists::rewrite(int sequence) {
  joined_ = -1;
  spans_[sequence] = {0, -1};
  return lists_[sequence];
}

void RunLists::clear(int sequence) {
  ChosenRuns& list = rewrite(sequence);
  list.rowStarts.assign(numKvHeads_ + 1, 0);
  list.runs.clear();
}

void RunLists::setSpan(int sequence, int first, int end) {
  // The layers of a step ask for the same span over and over.
  if (spans_[sequence].first == first && spans_[sequence].end == end) return;
  ChosenRuns& list = rewrite(sequence);
  list.runs.clear();
  for (int at = first; at < end;) {
    const int offset = at % kPageTokens;
    const int len = std::min(kPageTokens - offset, end - at);
    list.runs.push_back({at / kPageTokens, offset, len});
    at += len;
  }
  const std::size_t count = list.runs.size();
  list.rowStarts.resize(numKvHeads_ + 1);
  list.runs.resize(count * numKvHeads_);
  for (int head = 0; head <= numKvHeads_; ++head) list.rowStarts[head] = static_cast<std::int32_t>(head * count);
  for (int head = 1; head < numKvHeads_; ++head) {
    std::copy_n(list.runs.begin(), count, list.runs.begin() + head * count);
  }
  spans_[sequence] = {first, end};
}

int RunLists::endOf(int sequence) const {
  const ChosenRuns& list = lists_[sequence];
  int end = 0;
  for (int head = 0; head < numKvHeads_; ++head) {
    if (list.rowStarts[head] == list.rowStarts[head + 1]) continue;
    const KvRun& last = list.runs[list.rowStarts[head + 1] - 1];
    end = std::max(end, last.page * kPageTokens + last.first + last.len);
  }
  return end;
}

RunRows RunLists::rows(int numSequences) {
  if (numSequences == 1) return {lists_[0].rowStarts.data(), lists_[0].runs.data()};
  if (joined_ != numSequences) {
    rowStarts_.assign(1, 0);
    runs_.clear();
    for (int s = 0; s < numSequences; ++s) {
      const std::int32_t base = rowStarts_.back();
      for (int head = 1; head <= numKvHeads_; ++head) rowStarts_.push_back(base + lists_[s].rowStarts[head]);
      runs_.insert(runs_.end(), lists_[s].runs.begin(), lists_[s].runs.end());
    }
    joined_ = numSequences;
  }
  return {rowStarts_.data(), runs_.data()};
}

}  // namespace kvasir
