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

// What the codes of a token's residual stand for. channels: key channels, in steps of the segment's deviation of each.
// principal: directions of a basis that each (layer, KV head) makes of its first tokens, those of larger variance with
// more bits, in steps of the deviation along each; codeBits is the mean over the channels, 1, 2 or 4.
enum class CodeBasis : int { channels = 0, principal = 1 };

struct SegmentIndexShape {
  int numLayers;
  int numKvHeads;
  int headDim;   // 1 to kMaxSelectHeadDim
  int codeBits;    // 0, 1, 2 or 4
  int vectorBits;  // 8 or 16
  CodeBasis basis = CodeBasis::channels;
};

// At most 16 tokens, in their order: what kernels work through. Basis channels: of one segment. Principal: the tokens
// from a multiple of 16 on, of any segments.
struct SegmentBlock {
  std::int32_t token;    // the first one
  std::int32_t out;      // where its estimate goes
  std::int32_t segment;  // of the first token: its place in a list of segments
  std::int32_t count;
};

class IndexStorage;

// Per layer, KV head and closed segment: mean c of the rotated keys (float16 or 8 bits a channel, as vectorBits says),
// with basis channels also the standard deviation e of each channel (8 or 4 bits), and the radius, the largest distance
// of a key from its estimate; per token the codes of its residual k - c. Segments tile [0, numTokens()).
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
  // Tokens that have codes: all, or none while there are too few for a basis. Those that have none yet are coded when the
  // basis is made.
  int codedTokens() const { return codedSegments_ == 0 ? 0 : numTokens(); }
  // All coded segments in blocks, `out` as `token`.
  const std::vector<SegmentBlock>& blocks() const { return blocks_; }
  // Principal: [blocks().size()][16] segment of each token, counted from the block's.
  const std::uint8_t* places() const { return places_.data(); }
  // Memory held, spare room included.
  std::size_t bytes() const;

  // Adds segments [ends[i - 1], ends[i]), the first from numTokens() on, for all layers; `ends` ascend strictly.
  // Reads K rows from the pages. False if the caller aborted: the index is then as before. Throws std::bad_alloc.
  bool extend(Context& context, const KvView& kv, const std::int32_t* pages, const std::int32_t* ends, int count);

  // The same a layer at a time, for K rows that cannot all be read at once; what keysOf gives holds until it is asked
  // again. Only rows from codedTokens() on are read.
  struct LayerKeys {
    KvView kv;
    const std::int32_t* pages;
  };
  bool extend(Context& context, const std::function<LayerKeys(int layer)>& keysOf, const std::int32_t* ends, int count);

  // The same for codes that are made elsewhere: code(ends, first) codes segments [first, ends.size()) of all, for all
  // layers, where storage() keeps them; first = 0: and makes the basis.
  bool extend(Context& context, const std::function<void(const std::vector<std::int32_t>& ends, int first)>& code,
              const std::int32_t* ends, int count);

  // Forgets segments that end after numTokens.
  void truncate(int numTokens);

  // For inspection: means, deviations [numSegments][headDim], levels [numTokens][headDim] as the estimates see them
  // (0 without codes), radii [numSegments]. Principal: deviations 1, levels as key channels; before the basis is made
  // means and levels 0, radii infinite.
  void read(int layer, int kvHead, float* means, float* deviations, float* levels, float* radii) const;

  // How it lies in memory (native/cpu/selection/index_storage.h).
  const IndexStorage& storage() const { return *storage_; }
  IndexStorage& storage() { return *storage_; }
  // Keeps codes elsewhere from now on; there are none yet.
  void store(std::unique_ptr<IndexStorage> storage);
  // Makes them readable in host memory, wherever they are kept.
  void fetch() const;

 private:
  void makeRoom(const std::int32_t* ends, int count);
  bool reachesBasis(int lastEnd) const;
  void commit(const std::int32_t* ends, int count);
  void encodeLayers(Context& context, int firstLayer, int numLayers, const LayerKeys& keys,
                    const std::vector<std::int32_t>& ends);

  SegmentIndexShape shape_;
  std::vector<std::int32_t> ends_;
  int codedSegments_ = 0;  // all, or 0
  std::vector<SegmentBlock> blocks_;
  std::vector<std::uint8_t> places_;
  std::unique_ptr<IndexStorage> storage_;
};

struct BudgetRule {
  int budgetTokens;  // a KV head, always-visible ones included; the mean over a layer's heads
  int sinkTokens;    // first tokens of the sequence, always visible
  int recentTokens;  // last tokens, always visible, the current one included
  bool jointHeads;   // true: each head keeps its best quarter, the rest goes to the best tokens of any head
};

enum class QueryKind : int { current = 0, mean = 1, ema = 2 };
enum class Certify : int { off = 0, report = 1, extend = 2 };

struct SegmentRule {
  BudgetRule budget;
  // Best poolFactor * budgetTokens candidates a head by estimate are scored exactly; 0: the estimates decide alone.
  double poolFactor = 2;
  // Only the segments best by mean and variance, prefilterFactor * budgetTokens tokens a head, are estimated token by
  // token; 0: all. Needs an index with basis channels, whose deviations it reads; else it does nothing.
  double prefilterFactor = 0;
  // What estimates are made for: the query, or its running mean over the steps since a segment closed.
  QueryKind query = QueryKind::current;
  float emaDecay = 0.5f;
  // A choice stands for up to rerankSteps - 1 more steps, while the query's cosine to its own is at least driftLimit.
  int rerankSteps = 1;
  float driftLimit = 0.8f;
  // Not with a prefilter or a running query.
  Certify certify = Certify::off;
};

// Candidates are the indexed and kept tokens that are neither sinks nor recent; everything else that is kept is visible
// and counts in the budget. A token's value is its softmax probability, summed over the query heads of its KV head: over
// visible tokens and candidates by estimate, then over visible tokens and the pool.
// Certificate: every score is at most its estimate plus |q| radius. With the probabilities' denominators of the pool held
// fixed, a KV head's choice is proven when no candidate outside the pool can have a value as high as the lowest that the
// head (jointHeads: the lower of its quarter and of the layer) keeps; Certify::extend scores those that can, so that the
// choice is exact under these denominators. With one query head a KV head and without jointHeads it is ExactSelector's.
// The index must cover the same sequence and outlive the selector.
class SegmentSelector : public Selector {
 public:
  SegmentSelector(const SegmentIndex& index, const SegmentRule& rule);
  ~SegmentSelector() override;
  void select(Context& context, const SelectInput& input, ChosenRuns& out) override;
  // Takes over what another selector of the same rule has kept between steps: for the copy of a sequence.
  void continueFrom(const SegmentSelector& other);

  const SegmentIndex& index() const { return index_; }
  const SegmentRule& rule() const { return rule_; }

 private:
  struct Memory;
  const SegmentIndex& index_;
  SegmentRule rule_;
  std::unique_ptr<Memory> memory_;
};

// The oracle: true scores of every kept row. Sinks and recent tokens are forced visible as far as the rule says.
class ExactSelector : public Selector {
 public:
  explicit ExactSelector(const BudgetRule& rule);
  void select(Context& context, const SelectInput& input, ChosenRuns& out) override;

  const BudgetRule& rule() const { return rule_; }

 private:
  BudgetRule rule_;
};

}  // namespace kvasir
