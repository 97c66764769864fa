#include "run_lists.h"

#include <algorithm>

#include "kept_rows.h"

namespace kvasir {
namespace {

int rowsOf(const ChosenRuns& list) { return static_cast<int>(list.rowStarts.size()) - 1; }

}  // namespace

RunLists::RunLists(int maxSequences, int numKvHeads, int numHeads)
    : numKvHeads_(numKvHeads), numHeads_(numHeads), sequences_(static_cast<std::size_t>(maxSequences)) {
  for (int s = 0; s < maxSequences; ++s) clear(s);
}

const ChosenRuns& RunLists::at(int sequence) const {
  const Sequence& own = sequences_[sequence];
  return own.narrowed ? own.kept : own.list;
}

ChosenRuns& RunLists::rewrite(int sequence) {
  joined_ = -1;
  ++version_;
  Sequence& own = sequences_[sequence];
  own.narrowed = false;
  own.away = false;
  own.spanEnd = -1;
  return own.list;
}

void RunLists::clear(int sequence) {
  ChosenRuns& list = rewrite(sequence);
  list.rowStarts.assign(numKvHeads_ + 1, 0);
  list.runs.clear();
}

void RunLists::leave(std::shared_ptr<ListsElsewhere> elsewhere, int numSequences) {
  if (elsewhere != elsewhere_) bringHome();
  elsewhere_ = std::move(elsewhere);
  for (int s = 0; s < numSequences; ++s) {
    rewrite(s);
    sequences_[static_cast<std::size_t>(s)].away = true;
  }
}

void RunLists::bringHome(int first) {
  for (int s = first; s < maxSequences(); ++s) {
    if (sequences_[static_cast<std::size_t>(s)].away) elsewhere_->read(s, rewrite(s));
  }
}

bool RunLists::areAway(int numSequences) const {
  return numSequences > 0 && std::all_of(sequences_.begin(), sequences_.begin() + numSequences, [](const Sequence& own) { return own.away; });
}

bool RunLists::isAway() const {
  return std::any_of(sequences_.begin(), sequences_.end(), [](const Sequence& own) { return own.away; });
}

void RunLists::setSpan(int sequence, int first, int end) {
  // The layers of a step ask for the same span over and over.
  Sequence& own = sequences_[sequence];
  if (own.spanFirst == first && own.spanEnd == end) return;
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
  own.spanFirst = first;
  own.spanEnd = end;
}

void RunLists::narrow(int sequence, const KeptView& kept, int current) {
  Sequence& own = sequences_[sequence];
  const bool narrowed = !kept.keepsAll();
  if (narrowed || own.narrowed) {
    joined_ = -1;
    ++version_;
  }
  own.narrowed = narrowed;
  if (narrowed) keepRuns(own.list, kept, rowsOf(own.list) / numKvHeads_, current, own.kept);
}

int RunLists::endOf(int sequence) const {
  const ChosenRuns& list = at(sequence);
  int end = 0;
  for (int row = 0; row < rowsOf(list); ++row) {
    if (list.rowStarts[row] == list.rowStarts[row + 1]) continue;
    const KvRun& last = list.runs[list.rowStarts[row + 1] - 1];
    end = std::max(end, last.page * kPageTokens + last.first + last.len);
  }
  return end;
}

RunRows RunLists::rows(int numSequences) {
  if (numSequences == 1) return {at(0).rowStarts.data(), at(0).runs.data(), perQueryHead(0)};
  if (joined_ != numSequences) join(numSequences);
  return {rowStarts_.data(), runs_.data(), joinedPerQueryHead_};
}

void RunLists::join(int numSequences) {
  joinedPerQueryHead_ = false;
  for (int s = 0; s < numSequences; ++s) joinedPerQueryHead_ = joinedPerQueryHead_ || perQueryHead(s);
  rowStarts_.assign(1, 0);
  runs_.clear();
  for (int s = 0; s < numSequences; ++s) {
    const ChosenRuns& list = at(s);
    const int repeats = joinedPerQueryHead_ && !perQueryHead(s) ? numHeads_ / numKvHeads_ : 1;
    for (int row = 0; row < rowsOf(list) * repeats; ++row) {
      const int from = list.rowStarts[row / repeats], to = list.rowStarts[row / repeats + 1];
      runs_.insert(runs_.end(), list.runs.begin() + from, list.runs.begin() + to);
      rowStarts_.push_back(static_cast<std::int32_t>(runs_.size()));
    }
  }
  joined_ = numSequences;
}

bool RunLists::perQueryHead(int sequence) const { return rowsOf(at(sequence)) != numKvHeads_; }

}  // namespace kvasir
