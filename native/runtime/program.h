// Ops as plain data, compiled once and run many times. Whoever runs one keeps alive what it points to.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kept_rows.h"
#include "kvasir/attention.h"
#include "kvasir/context.h"

namespace kvasir {

// Rows of an op: a constant, or a count that each run gives.
struct Extent {
  enum Kind { fixed, tokens, outputs, sequences } kind;
  int count = 0;
};

struct RunCounts {
  int tokens;
  int outputs;
  int sequences;

  int of(Extent extent) const {
    switch (extent.kind) {
      case Extent::tokens: return tokens;
      case Extent::outputs: return outputs;
      case Extent::sequences: return sequences;
      case Extent::fixed: break;
    }
    return extent.count;
  }
};

// Who fills a sequence's run list: the caller, every row, or a native selector.
struct SelectorChoice {
  enum Kind { given, all, native } kind;
  Selector* selector = nullptr;
};

// One run: its counts and its own copy of every index array, which the caller may rewrite at once.
class Run {
 public:
  RunCounts counts;
  std::vector<SelectorChoice> selectors;  // [sequences]
  std::vector<const KeptRows*> kept;      // [sequences]; null: every row
  std::vector<const float*> leaves;       // buffers that stay where the run writes them
  std::vector<const float*> takesUp;      // buffers that are read as the last run left them

  const std::int32_t* indices(int source) const { return copies_.data() + starts_[source]; }

  // All of them in one piece, each from a multiple of 4 entries on, in room that is a power of two: where one begins seldom
  // changes from run to run.
  const std::vector<std::int32_t>& allIndices() const { return copies_; }
  std::size_t start(int source) const { return starts_[source]; }

 private:
  friend class Program;
  std::vector<std::int32_t> copies_;
  std::vector<std::size_t> starts_;
};

// Index arrays of a batch, by their numbers in the program.
struct BatchSources {
  int rowStarts, contextTokens, pageStarts, pages;
  int positions = -1;  // none

  Batch of(const Run& run) const {
    return {run.counts.sequences, run.indices(rowStarts), run.indices(contextTokens), run.indices(pageStarts),
            run.indices(pages), positions < 0 ? nullptr : run.indices(positions)};
  }
};

struct Step {
  virtual ~Step() = default;
  // On a device: what the host does for a run before its first step and, unless it was aborted, once all have ended.
  virtual void prepare(Run& /*run*/) const {}
  virtual void finish(Run& /*run*/) const {}
  virtual void execute(Context& context, Run& run) const = 0;
};

class Program {
 public:
  virtual ~Program() = default;

  // An index array that runs copy `extent` + extra entries of; the same array and extent give the same number.
  int addIndices(const std::int32_t* data, std::size_t length, Extent extent, int extra = 0);
  // The pages of a batch: as many as its page starts say.
  int addPages(const std::int32_t* data, std::size_t length, int pageStarts);

  // A buffer that holds `rows` rows of `extent`.
  void limit(Extent extent, std::size_t rows);

  // A float buffer that an op is about to name.
  virtual void buffer(const float* /*data*/, std::size_t /*length*/) {}
  // One whose contents nobody looks at after a run.
  virtual void scratch(const float* /*data*/) {}

  // Memory that must outlive the steps; null is ignored.
  void keep(std::shared_ptr<void> memory);

  void add(std::unique_ptr<Step> step) { steps_.push_back(std::move(step)); }

  // Throws Failure if a buffer is too short for the counts.
  Run prepare(const RunCounts& counts, std::vector<SelectorChoice> selectors, std::vector<const KeptRows*> kept) const;

  virtual void execute(Context& context, Run& run) const;

 protected:
  const std::vector<std::unique_ptr<Step>>& steps() const { return steps_; }

 private:
  struct IndexSource {
    const std::int32_t* data;
    std::size_t length;
    Extent extent;
    int extra;
    int pageStarts;  // number of the source that says how many; -1: extent and extra do
  };

  std::vector<std::unique_ptr<Step>> steps_;
  std::vector<IndexSource> sources_;
  std::vector<std::shared_ptr<void>> kept_;
  std::size_t limits_[4] = {SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX};
};

}  // namespace kvasir
