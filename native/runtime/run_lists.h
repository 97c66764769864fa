// One run list a sequence of a batch, and their concatenation, which attention reads.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kvasir/attention.h"

namespace kvasir {

// Lists that were written where this memory is not, one row a KV head.
class ListsElsewhere {
 public:
  virtual ~ListsElsewhere() = default;
  virtual void read(int sequence, ChosenRuns& out) = 0;
};

class RunLists {
 public:
  // Lists have numKvHeads rows, or numHeads rows.
  RunLists(int maxSequences, int numKvHeads, int numHeads);

  int numKvHeads() const { return numKvHeads_; }
  int numHeads() const { return numHeads_; }
  int maxSequences() const { return static_cast<int>(sequences_.size()); }

  // The list that attention reads.
  const ChosenRuns& at(int sequence) const;

  // The list as it was chosen, before narrow().
  const ChosenRuns& chosen(int sequence) const { return sequences_[static_cast<std::size_t>(sequence)].list; }

  // The list of a sequence, to be rewritten whole.
  ChosenRuns& rewrite(int sequence);

  void clear(int sequence);

  // Makes a list name indices [first, end) for every KV head.
  void setSpan(int sequence, int first, int end);

  // Lets attention read those rows of the list alone that are kept, and index `current`. The list itself stays, so that
  // the next layer can narrow it to other rows.
  void narrow(int sequence, const KeptView& kept, int current);

  // The first lists lie elsewhere from now on, until each is written anew or bringHome() is called, which everything but
  // writing asks for.
  void leave(std::shared_ptr<ListsElsewhere> elsewhere, int numSequences);
  // Those from `first` on.
  void bringHome(int first = 0);
  bool isAway() const;
  // Where lists have been left, or null; and whether the first ones are all there now.
  const std::shared_ptr<ListsElsewhere>& elsewhere() const { return elsewhere_; }
  bool areAway(int numSequences) const;

  // Another number whenever what attention reads may be another list.
  std::uint64_t version() const { return version_; }

  // First index past the runs of a sequence.
  int endOf(int sequence) const;

  // The first numSequences lists as one, a row a query head if any of them is so; valid until a list changes.
  RunRows rows(int numSequences);

 private:
  struct Sequence {
    ChosenRuns list;
    ChosenRuns kept;  // what narrow() left of it
    bool narrowed = false;
    bool away = false;
    int spanFirst = 0, spanEnd = -1;  // what setSpan wrote; end = -1: something else
  };

  void join(int numSequences);
  bool perQueryHead(int sequence) const;

  int numKvHeads_, numHeads_;
  std::vector<Sequence> sequences_;
  std::shared_ptr<ListsElsewhere> elsewhere_;
  std::vector<std::int32_t> rowStarts_;
  std::vector<KvRun> runs_;
  std::uint64_t version_ = 0;
  bool joinedPerQueryHead_ = false;
  int joined_ = -1;  // sequences that rowStarts_ and runs_ hold; -1: stale
};

}  // namespace kvasir
