// The ops as steps of a program. Buffers are raw: Program's limits guard their lengths.
#pragma once

#include <vector>

#include "arena.h"
#include "kvasir/linear.h"
#include "kvasir/rows.h"
#include "program.h"
#include "run_lists.h"

namespace kvasir {

struct EmbedRowsStep final : Step {
  const Weight* table;
  int ids;  // number of the index array
  float* out;
  Extent rows;
  void execute(Context& context, Run& run) const override;
};

struct RmsNormStep final : Step {
  const float* x;
  const float* weight;
  float eps;
  int groups, dim;
  float* out;
  Extent rows;
  void execute(Context& context, Run& run) const override;
};

struct LinearStep final : Step {
  const float* x;
  std::vector<LinearPart> parts;
  Extent rows;
  LinearPath path;
  LinearMode mode;
  void execute(Context& context, Run& run) const override;
};

struct RopeStep final : Step {
  float* x;
  const float* cos;
  const float* sin;
  RopePairing pairing;
  int numHeads, headDim, rotaryDim;
  Extent rows;
  void execute(Context& context, Run& run) const override;
};

struct SiluGateStep final : Step {
  const float* gate;
  const float* up;
  int dim;
  float* out;
  Extent rows;
  void execute(Context& context, Run& run) const override;
};

struct GatherRowsStep final : Step {
  const float* x;
  int ids;
  int dim;
  float* out;
  Extent rows;
  void execute(Context& context, Run& run) const override;
};

// What ops over new KV rows and their slots share.
struct KvRowsStep : Step {
  Arena* arena;
  int layer;
  const float* keys;
  const float* values;
  int slots;
  Extent rows;
};

struct WriteKvStep final : KvRowsStep {
  void execute(Context& context, Run& run) const override;
};

struct CompareKvStep final : KvRowsStep {
  float* out;
  void execute(Context& context, Run& run) const override;
};

// What the attention ops share.
struct AttentionStep : Step {
  Arena* arena;
  int layer;
  const float* q;
  int numHeads;
  float scale;
  BatchSources batch;
};

struct AttendPrefillStep final : AttentionStep {
  int windowTokens;
  float* out;
  float* lse;  // or null
  void execute(Context& context, Run& run) const override;
};

struct AttentionMassStep final : AttentionStep {
  int windowTokens;
  const float* lse;  // or null
  float* mass;
  int massStride;
  void execute(Context& context, Run& run) const override;
};

struct SelectRunsStep final : AttentionStep {
  int windowTokens;
  RunLists* lists;
  void execute(Context& context, Run& run) const override;
};

// Throws a Failure where the list of a sequence names rows that it does not hold.
void requireHeldRows(const RunLists& lists, const Batch& batch);

// Once the lists' rows are addressed: those that selectors nearly chose are fetched, where the arena wants that.
void prefetchLikely(const Run& run, const Batch& batch, int layer, const RunLists& lists, Arena& arena);

struct AttendRunsStep final : AttentionStep {
  RunLists* lists;
  float* out;
  float* lse;  // or null
  void execute(Context& context, Run& run) const override;
};

}  // namespace kvasir
