// Choice of the KV rows that attention reads: an index of segments and token codes, and the selectors on top of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "kvasir/attention.h"
#include "kvasir/context.h"

namespace kvasir {

constexpr int kMaxSelectHeadDim = 512;

struct SegmentIndexShape {
  int numLayers;
  int numKvHeads;
  int headDim;   // 1 to kMaxSelectHeadDim
  int codeBits;  // 1 or 2
};

// Per layer, KV head and closed segment: mean c (float16) and per-channel standard deviation e (8 bits a channel and
// one step) of the rotated keys; per token the codes of its residual (k - c) / e. Segments tile [0, numTokens()).
// Not synchronised: extend and truncate want no reader at the same time.
class SegmentIndex {
 public:
  explicit SegmentIndex(const SegmentIndexShape& shape);
  ~SegmentIndex();
  SegmentIndex(const SegmentIndex&) = delete;
  SegmentIndex& operator=(const SegmentIndex&) = delete;

  std::unique_ptr<SegmentIndex> clone() const;

  const SegmentIndexShape& shape() const { return shape_; }
  int numSegments() const { return static_cast<int>(ends_.size()); }
  int numTokens() const { return ends_.empty() ? 0 : ends_.back(); }
  // [numSegments()] first token after each segment, ascending.
  const std::vector<std::int32_t>& ends() const { return ends_; }
  // Memory held, spare room included.
  std::size_t bytes() const;

  // Adds segments [ends[i - 1], ends[i]), the first from numTokens() on, for all layers; `ends` ascend strictly.
  // Reads K rows from the pages. False if the caller aborted: the index is then as before. Throws std::bad_alloc.
  bool extend(Context& context, const KvView& kv, const std::int32_t* pages, const std::int32_t* ends, int count);

  // The same a layer at a time, for K rows that cannot all be read at once; what keysOf gives holds until it is asked
  // again. Only rows from numTokens() on are read.
  struct LayerKeys {
    KvView kv;
    const std::int32_t* pages;
  };
  bool extend(Context& context, const std::function<LayerKeys(int layer)>& keysOf, const std::int32_t* ends, int count);

  // Forgets segments that end after numTokens.
  void truncate(int numTokens);

  // For inspection: means, deviations [numSegments][headDim], levels [numTokens][headDim] as the estimates see them.
  void read(int layer, int kvHead, float* means, float* deviations, float* levels) const;

  // Bytes of one KV head as the kernels read them (native/cpu/selection/layout.h).
  struct HeadView {
    const std::uint8_t* stats;
    const std::uint8_t* codes;
    std::size_t planeBytes;
  };
  HeadView head(int layer, int kvHead) const;

 private:
  struct Storage;
  void reserve(int segments, int tokens);
  void encodeLayers(Context& context, int firstLayer, int numLayers, const LayerKeys& keys, const std::int32_t* ends,
                    int count);

  SegmentIndexShape shape_;
  std::vector<std::int32_t> ends_;
  std::unique_ptr<Storage> storage_;
};

struct BudgetRule {
  int budgetTokens;  // a KV head, always-visible ones included; the mean over a layer's heads
  int sinkTokens;    // first tokens of the sequence, always visible
  int recentTokens;  // last tokens, always visible, the current one included
  bool jointHeads;   // true: each head keeps its best quarter, the rest goes to the best tokens of any head
};

// Candidates are the indexed tokens that are neither sinks nor recent; everything else is visible and counts in the
// budget. A token's value is its softmax probability, summed over the query heads of its KV head. Best
// poolFactor * budgetTokens candidates a head by estimate, exact scores for them, then the best that the budget allows;
// poolFactor 0: the budget is filled by estimates. The index must cover the same sequence and outlive the selector.
class SegmentSelector : public Selector {
 public:
  SegmentSelector(const SegmentIndex& index, const BudgetRule& rule, double poolFactor);
  void select(Context& context, const SelectInput& input, ChosenRuns& out) override;

 private:
  const SegmentIndex& index_;
  BudgetRule rule_;
  double poolFactor_;
};

// The oracle: true scores of every row. Sinks and recent tokens are forced visible as far as the rule says.
class ExactSelector : public Selector {
 public:
  explicit ExactSelector(const BudgetRule& rule);
  void select(Context& context, const SelectInput& input, ChosenRuns& out) override;

 private:
  BudgetRule rule_;
};

}  // namespace kvasir
