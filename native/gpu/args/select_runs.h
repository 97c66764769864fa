/* selectRuns: the rows that attention reads of each sequence at one layer and step, as SegmentSelector of
 * kvasir/selection.h chooses them (without prefilter, standing choices and certificate), as runs in the order of positions.
 * Nothing comes back to the host: sizes are read from device memory, so that a captured launch serves all steps.
 * Without sequences nothing is written.
 *
 * Visible are the kept rows among the first sinkTokens, the last recentTokens and everything behind the coded tokens; they
 * count in the budget. Candidates are the other kept rows. Values: softmax probabilities over visible and candidates, summed
 * over a row's query heads; by the codes' estimates for estimateQ, or by exact scores where a sequence has no codes. The best
 * poolTokens a row (never fewer than the budget leaves) are then scored exactly for q; poolTokens 0: the estimates decide.
 * Choices follow cutRows. Scores are sums in f32; equal scores of the kernels, not of the caller, count as ties. */
#ifndef KVASIR_GPU_ARGS_SELECT_RUNS_H
#define KVASIR_GPU_ARGS_SELECT_RUNS_H

#include "hot_rows.h"
#include "principal_index.h"

enum { KVASIR_SELECT_CHUNK = 1024, KVASIR_SELECT_POOL_CHUNK = 64, KVASIR_SELECT_BINS = 288, KVASIR_SELECT_VISIBLE_PARTS = 8 };

typedef struct KvasirSelectSequence {
  const uint8_t* index;     /* [layer][kvHead][headBytes] */
  const int32_t* segmentOf; /* [codedTokens] segment of each token */
  const int32_t* pages;     /* page table of the sequence */
  const uint64_t* kept;     /* KeptView of this layer: [numKvHeads][keptStride], or null */
  int32_t keptStride;       /* words */
  int32_t keptEnd;          /* every row from here on is kept */
  int32_t numTokens;        /* KV rows held, the current token's included: 1 to maxTokens */
  int32_t indexedTokens;    /* end of the last closed segment */
  int32_t numSegments;      /* coded ones */
  int32_t codedTokens;      /* indexedTokens, or 0: no basis yet, the choice is by exact scores */
  /* As KvasirIndexLayout has them for this sequence's capacities. */
  size_t meanSteps, means, codes, headBytes;
} KvasirSelectSequence;

static inline void kvasirSelectIndex(KvasirSelectSequence* sequence, const uint8_t* index, const KvasirIndexLayout* layout) {
  sequence->index = index;
  sequence->meanSteps = layout->meanSteps;
  sequence->means = layout->means;
  sequence->codes = layout->codes;
  sequence->headBytes = layout->bytes;
}

typedef struct KvasirSelectRunsArgs {
  KvasirKvView kv;
  KvasirHotRows hot; /* K rows are read from its slots where they are there, and counted where not; hot.rows null: all from kv */
  int32_t layer;
  int32_t numHeads;
  const float* q;         /* [numSequences][numHeads][headDim], rotated */
  const float* estimateQ; /* the same: what estimates are made for; q, or a running mean */
  float scale;
  KvasirIndexShape index; /* of all sequences, whose capacities may differ: those here are not looked at */
  const KvasirSelectSequence* sequences; /* [numSequences], device memory */
  int32_t numSequences;
  int32_t maxTokens;   /* no sequence has more */
  int32_t maxSegments;
  int32_t budgetTokens;
  int32_t sinkTokens;
  int32_t recentTokens;
  int32_t poolTokens;
  int32_t jointHeads;
  int32_t perQueryHead; /* a row a query head, with values of its own; else a row a KV head */
  int32_t exact;        /* every sequence is scored exactly, codes are not looked at */
  int32_t allCoded;     /* no sequence has codedTokens 0: the launch for those is left out */
  int32_t* rowStarts;   /* [numSequences * rows + 1] */
  KvasirKvRun* runs;    /* [maxRuns]; the last ones are left out where there are more */
  int32_t maxRuns;
  int32_t* counts;      /* [numSequences][rows][2]: rows chosen, keys scored to choose among; or null */
  void* workspace;      /* kvasirSelectRunsBytes() */
} KvasirSelectRunsArgs;

/* Where the parts of the workspace begin, in bytes. */
typedef struct KvasirSelectLayout {
  int32_t rows;       /* of a sequence */
  int32_t chunks;     /* of tokens */
  int32_t poolStride; /* tokens of a row's pool, at most */
  int32_t poolChunks;
  size_t plans;       /* [seq][rows][8] i32 */
  size_t weights;     /* [seq][numHeads][words of 4 i8] */
  size_t folded;      /* [seq][numHeads][2] f32 */
  size_t bases;       /* [seq][numHeads][segments] f32 */
  size_t visible;     /* [2][seq][numHeads][parts][2] f32 */
  size_t scores;      /* [seq][numHeads][chunks * 1024] f32 */
  size_t partials;    /* [seq][numHeads][chunks][2] f32 */
  size_t values;      /* [seq][rows][chunks * 1024] f32 */
  size_t bins;        /* [seq][rows][288] i32 */
  size_t above;       /* [seq][rows][chunks][288] i32 */
  size_t listTokens;  /* [seq][rows][chunks * 1024] i32 */
  size_t listValues;  /* the same, f32 */
  size_t listCounts;  /* [seq][rows] i32 */
  size_t cuts;        /* [seq][rows] u64 */
  size_t pool;        /* [seq][rows][poolStride] i32 */
  size_t poolValues;  /* the same, f32 */
  size_t poolCounts;  /* [seq][rows] i32 */
  size_t poolScores;  /* [seq][numHeads][poolStride] f32 */
  size_t poolPartials; /* [seq][numHeads][poolChunks][2] f32 */
  size_t runCounts;   /* [seq][rows] i32 */
  size_t bytes;
} KvasirSelectLayout;

static inline size_t kvasirSelectPart(size_t* at, size_t bytes) {
  const size_t part = *at;
  *at = kvasirIndexPadded(*at + bytes, 256);
  return part;
}

static inline KvasirSelectLayout kvasirSelectLayout(const KvasirSelectRunsArgs* args) {
  KvasirSelectLayout w;
  const size_t sequences = (size_t)args->numSequences, heads = sequences * (size_t)args->numHeads;
  const int32_t most = args->poolTokens > args->budgetTokens ? args->poolTokens : args->budgetTokens;
  size_t rows, tokens, pool, at = 0;
  w.rows = args->perQueryHead ? args->numHeads : args->kv.numKvHeads;
  w.chunks = (args->maxTokens + KVASIR_SELECT_CHUNK - 1) / KVASIR_SELECT_CHUNK;
  /* One row may get nearly all of a layer's pool. */
  w.poolStride = 0;
  if (args->poolTokens > 0) {
    const size_t all = (size_t)most * (size_t)(args->jointHeads ? w.rows : 1);
    w.poolStride = all < (size_t)args->maxTokens ? (int32_t)all : args->maxTokens;
  }
  w.poolChunks = (w.poolStride + KVASIR_SELECT_POOL_CHUNK - 1) / KVASIR_SELECT_POOL_CHUNK;
  w.poolStride = w.poolChunks * KVASIR_SELECT_POOL_CHUNK;
  rows = sequences * (size_t)w.rows;
  tokens = (size_t)w.chunks * KVASIR_SELECT_CHUNK;
  pool = (size_t)w.poolStride;
  w.plans = kvasirSelectPart(&at, rows * 8 * 4);
  w.weights = kvasirSelectPart(&at, heads * 2 * KVASIR_INDEX_MAX_DIM);
  w.folded = kvasirSelectPart(&at, heads * 8);
  w.bases = kvasirSelectPart(&at, heads * (size_t)args->maxSegments * 4);
  w.visible = kvasirSelectPart(&at, heads * 2 * KVASIR_SELECT_VISIBLE_PARTS * 8);
  w.scores = kvasirSelectPart(&at, heads * tokens * 4);
  w.partials = kvasirSelectPart(&at, heads * (size_t)w.chunks * 8);
  w.values = kvasirSelectPart(&at, rows * tokens * 4);
  w.bins = kvasirSelectPart(&at, rows * KVASIR_SELECT_BINS * 4);
  w.above = kvasirSelectPart(&at, rows * (size_t)w.chunks * KVASIR_SELECT_BINS * 4);
  w.listTokens = kvasirSelectPart(&at, rows * tokens * 4);
  w.listValues = kvasirSelectPart(&at, rows * tokens * 4);
  w.listCounts = kvasirSelectPart(&at, rows * 4);
  w.cuts = kvasirSelectPart(&at, rows * 8);
  w.pool = kvasirSelectPart(&at, rows * pool * 4);
  w.poolValues = kvasirSelectPart(&at, rows * pool * 4);
  w.poolCounts = kvasirSelectPart(&at, rows * 4);
  w.poolScores = kvasirSelectPart(&at, heads * pool * 4);
  w.poolPartials = kvasirSelectPart(&at, heads * (size_t)w.poolChunks * 8);
  w.runCounts = kvasirSelectPart(&at, rows * 4);
  w.bytes = at;
  return w;
}

static inline size_t kvasirSelectRunsBytes(const KvasirSelectRunsArgs* args) { return kvasirSelectLayout(args).bytes; }

#endif
