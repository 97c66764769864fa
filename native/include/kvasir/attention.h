// The KV cache as the ops see it, and attention over it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kvasir/context.h"

namespace kvasir {

constexpr int kPageTokens = 16;

enum class KvType : int { f16 = 0, f32 = 1 };

// Canonical pages [page][layer][kvHead][K|V][16 tokens][headDim], seen through strides in bytes.
struct KvView {
  std::uint8_t* base;
  std::size_t pageStride;
  std::size_t layerStride;
  std::size_t headStride;
  std::size_t valueStride;  // from a head's K rows to its V rows
  KvType type;
  int numKvHeads;
  int headDim;
};

// A ragged batch. Sequence s owns rows [rowStarts[s], rowStarts[s + 1]) and holds contextTokens[s] KV rows. Row r of the
// batch stands at index positions[r] of its sequence, ascending within it, and sees the KV rows up to that one; without
// positions a sequence's rows are its last ones. KV row `index` lies in physical page pages[pageStarts[s] + index / 16]
// at index % 16.
struct Batch {
  int numSequences;
  const std::int32_t* rowStarts;      // [numSequences + 1]
  const std::int32_t* contextTokens;  // [numSequences]
  const std::int32_t* pageStarts;     // [numSequences + 1]
  const std::int32_t* pages;
  const std::int32_t* positions = nullptr;  // [rows] or null

  // Index of row r, one of sequence s.
  int indexOf(int s, int r) const {
    return positions != nullptr ? positions[r] : contextTokens[s] - (rowStarts[s + 1] - r);
  }
};

// `page` counts the pages of the sequence in order (logical); a run never crosses a page.
struct KvRun {
  std::int32_t page;
  std::int32_t first;
  std::int32_t len;
};

// CSR of runs, one row a (sequence, KV head) or one a (sequence, query head); runs of a row ascend and do not overlap.
struct RunRows {
  const std::int32_t* rowStarts;  // [numSequences * numKvHeads + 1] or [numSequences * numHeads + 1]
  const KvRun* runs;
  bool perQueryHead = false;
  // The K rows one by one in place of runs: rowStarts count addresses then. V rows lie a view's valueStride behind.
  const std::uint8_t* const* keys = nullptr;
};

// K and V rows [rows][numKvHeads][headDim] float32 -> slot = physicalPage * 16 + offset, converted to the view's type.
// Float16 conversion rounds to nearest even and saturates to the largest finite value.
void writeKv(Context& context, const KvView& kv, int layer, const float* keys, const float* values,
             const std::int32_t* slots, int rows);

// out [end - start][headDim]: rows [start, end) of one (layer, KV head), K or V, as float32.
void readKv(const KvView& kv, int layer, int kvHead, bool values, const std::int32_t* pages, int start, int end,
            float* out);

// Causal attention of prefilled rows, fused (no score matrix): q, out [rows][numHeads][headDim] float32.
// windowTokens > 0: row at index i reads indices in (i - windowTokens, i]. lse [rows][numHeads] natural log, or null.
// A row's bits depend on its own q and the KV rows that it sees only: not on the chunk, the batch, the number of threads.
void attendPrefill(Context& context, const KvView& kv, int layer, const float* q, int numHeads, float scale,
                   int windowTokens, const Batch& batch, float* out, float* lse = nullptr);

// mass [numHeads][massStride] += softmax weights that the rows of the batch's one sequence give each KV row, summed over
// the rows; q [rows][numHeads][headDim]. A row sees what it sees in attendPrefill, whose lse of these rows saves a pass
// over the keys; null: not known. Bits depend on the arguments alone.
void attentionMass(Context& context, const KvView& kv, int layer, const float* q, int numHeads, float scale,
                   int windowTokens, const Batch& batch, const float* lse, float* mass, std::size_t massStride);

// Decode attention over ragged runs: one row a sequence (row s = sequence s). q, out [numSequences][numHeads][headDim].
// lse [numSequences][numHeads] natural log, or null. An empty list gives out = 0, lse = -inf.
// Bits of a query head depend on its q and its own runs only, whether a row serves it alone or its whole group; splits
// are cut by the row's own token count.
void attendRuns(Context& context, const KvView& kv, int layer, const float* q, int numHeads, float scale,
                const Batch& batch, const RunRows& rows, float* out, float* lse);

// out [group][count]: softmax of scale q.k over the rows `indices` (in any order) alone, for each query [group][headDim]
// of a KV head. On the calling thread; it only reads.
void attentionWeights(Isa isa, const KvView& kv, int layer, int kvHead, const std::int32_t* pages, const float* queries,
                      int group, const std::int32_t* indices, int count, float scale, float* out);

// Runs chosen for one sequence, one row a KV head or one a query head, grown by a selector.
struct ChosenRuns {
  std::vector<std::int32_t> rowStarts;  // [numKvHeads + 1] or [numHeads + 1]
  std::vector<KvRun> runs;
  // Where SelectInput asks for it: ascending indices a KV head that were in the pool and not chosen.
  std::vector<std::int32_t> likelyStarts;  // [numKvHeads + 1]
  std::vector<std::int32_t> likely;
};

// K rows of one layer of a sequence that need not lie in its pages.
class KeyRows {
 public:
  virtual ~KeyRows() = default;
  // Told before rows() is asked, for all KV heads in turn: what is far away then comes together.
  virtual void expect(int /*kvHead*/, const std::int32_t* /*indices*/, int /*count*/) {}
  // Addresses [count] of the K rows [headDim] at `indices`, ascending, in the type of the view. Asked between forks by
  // the thread that selects, so it may fork itself, but not use the Context's shared memory; what is asked together may
  // be fetched together. Array and addresses hold until the same KV head is asked again or the selection returns. Null
  // once the caller has aborted.
  virtual const std::uint8_t* const* rows(Context& context, int kvHead, const std::int32_t* indices, int count) = 0;
};

// KV rows of one sequence that attention may read at one layer: a bitmap a KV head over the indices below endTokens.
// Every row from there on is kept; so is everything by default.
struct KeptView {
  // [numKvHeads][stride], stride = ceil(endTokens / 64): index i is bit i % 64 of word i / 64; set from endTokens on.
  const std::uint64_t* bits = nullptr;
  std::size_t stride = 0;
  int endTokens = 0;

  bool keepsAll() const { return endTokens == 0; }

  // The rows of a page, one bit each, the first one lowest.
  std::uint32_t pageBits(int kvHead, int page) const {
    if (page >= (endTokens + kPageTokens - 1) / kPageTokens) return 0xffffu;
    const std::uint64_t word = bits[static_cast<std::size_t>(kvHead) * stride + static_cast<std::size_t>(page / 4)];
    return static_cast<std::uint32_t>(word >> (page % 4 * kPageTokens)) & 0xffffu;
  }

  bool keeps(int kvHead, int index) const { return (pageBits(kvHead, index / kPageTokens) >> (index % kPageTokens)) & 1u; }
};

struct SelectInput {
  KvView kv;
  int layer;
  const float* q;             // [numHeads][headDim], rotated
  int numHeads;
  float scale;
  int numTokens;              // KV rows held, the current token's included
  const std::int32_t* pages;  // page table of the sequence
  // Candidates: attention reads no other row but the current one, whatever is chosen.
  KeptView kept = {};
  KeyRows* keys = nullptr;    // where K rows are read; null: the pages
  bool wantsLikely = false;   // fill ChosenRuns::likely
};

// Sums over the calls since the last reset; a count is tokens times KV heads.
struct SelectCounts {
  double calls = 0;
  double attended = 0;   // read exactly by attention
  double pooled = 0;     // keys read exactly to choose among
  double certified = 0;  // KV heads of calls whose choice is proven to be the exact one
  double reused = 0;     // calls answered by an earlier choice
  double ms = 0;         // time of the calls by the clock
};

// A native selector of one sequence: which KV rows may attention read at this layer and step.
class Selector {
 public:
  virtual ~Selector() = default;
  virtual void select(Context& context, const SelectInput& input, ChosenRuns& out) = 0;
  SelectCounts counts;
};

}  // namespace kvasir
