import type { NativeSelector, RunList } from '@kvasir/core'
import type { CodeTable, CodeTableOptions, HashPlanes, HashPlanesOptions, RankedRows, RankOptions } from './hashing.ts'
import type { Op } from './ops.ts'
import type {
  ExactSelectorOptions,
  SegmentIndex,
  SegmentIndexOptions,
  SegmentSelectorOptions,
  SequenceKv,
} from './selection.ts'
import type { CountingSelector } from './selector-counts.ts'
import type { ResolvedTierOptions, TierCounts, TierNote, TierOptions } from './tier-options.ts'

/** GGUF's names of weight formats. */
export type WeightType =
  | 'F32'
  | 'F16'
  | 'BF16'
  | 'Q8_0'
  | 'Q4_0'
  | 'Q4_1'
  | 'Q5_0'
  | 'Q5_1'
  | 'Q2_K'
  | 'Q3_K'
  | 'Q4_K'
  | 'Q5_K'
  | 'Q6_K'
  | 'IQ4_NL'

/** A matrix [rows = out features][cols = in features], packed for one backend. */
export interface Weight {
  readonly type: WeightType
  readonly rows: number
  readonly cols: number
  readonly bytes: number
  dispose(): void
}

export interface KvArenaOptions {
  readonly numLayers: number
  readonly numKvHeads: number
  readonly headDim: number
  /** Pages of 16 tokens over all layers. Memory is reserved, and taken as rows are written. */
  readonly capacityPages: number
  /** @default 'f16' */
  readonly type?: 'f16' | 'f32'
  /** Keeps rows in a lower tier and a bounded part of them hot. @default none: all rows in memory */
  readonly tier?: TierOptions
}

/** KV pages of 16 tokens, as [page][layer][kvHead][K|V][16 tokens][headDim] where there is no tier. */
export interface KvArena extends Required<Omit<KvArenaOptions, 'tier'>> {
  readonly pageBytes: number
  /** Null where all rows are in memory. */
  readonly tier: ResolvedTierOptions | null
  /** What was asked of the tier and not given. */
  readonly notes: readonly TierNote[]
  /** What the tier holds and has done; null without one. */
  counts(): TierCounts | null
  /** Copies one page over another, all layers. */
  copyPage(from: number, to: number): void
  /** Rows [start, end) of a sequence with this page table, as float32 [end - start][headDim]. */
  readRows(
    part: 'keys' | 'values',
    layer: number,
    kvHead: number,
    pages: Int32Array,
    start: number,
    end: number,
  ): Float32Array
  dispose(): void
}

/** One run list a sequence of a batch, for one layer at a time. */
export interface RunLists {
  readonly maxSequences: number
  readonly numKvHeads: number
  /** Query heads that lists may tell apart; numKvHeads: none. */
  readonly numHeads: number
  /**
   * Sets the list of one sequence: a row a KV head, or one a query head. Where one list of a batch has a row a query
   * head, the op reads each row of the others once for every query head of its group; no result depends on that.
   */
  set(sequence: number, list: RunList): void
  /** A copy of the list: as it was set, or, after a run, as attention has read it last. */
  get(sequence: number): RunList
  dispose(): void
}

/**
 * Which KV rows of one sequence attention may still read, a set a layer and KV head. Of rows that it says nothing about,
 * such as those that come later, all are kept.
 */
export interface KeptRows {
  readonly numLayers: number
  readonly numKvHeads: number
  /**
   * Of the rows [0, endTokens) of a layer, drops those that the list (a row a KV head) does not name. A second call drops
   * more; what is gone stays gone.
   */
  set(layer: number, list: RunList, endTokens: number): void
  /** Rows kept of those below the layer's largest endTokens so far, summed over its KV heads. */
  heldTokens(layer: number): number
  /** A copy that goes its own way. */
  clone(): KeptRows
  /** Forgets what it knows of rows from numTokens on: the sequence was cut there, and new rows may come. */
  truncate(numTokens: number): void
  dispose(): void
}

export interface RunOptions {
  readonly tokens: number
  /** @default 0 */
  readonly outputs?: number
  /** @default 0 */
  readonly sequences?: number
  /** One a sequence, for selectRuns ops. @default all `all` */
  readonly selectors?: readonly ('all' | 'given' | NativeSelector)[]
  /**
   * One a sequence: rows that selectRuns ops leave in its lists, whatever was chosen; the current token's row always
   * stays. null: every row. @default null for each
   */
  readonly kept?: readonly (KeptRows | null)[]
  /**
   * Buffers of the ops that stay where the run writes them, for a later run to take up: until a run that does not leave
   * them has written them, the caller's arrays hold anything. A backend with memory of its own does not bring them back. @default none
   */
  readonly leaves?: readonly Float32Array[]
  /** Buffers of the ops that are read as the last run left them, whatever the caller's arrays hold. @default none */
  readonly takesUp?: readonly Float32Array[]
  readonly signal?: AbortSignal
}

/** Turns of K rows: pair i of a row's first rotaryDim values by one of numTurns angles (Su et al. 2021). */
export interface KeyTurns {
  /** [numTurns][rotaryDim / 2] */
  readonly cos: Float32Array
  /** [numTurns][rotaryDim / 2] */
  readonly sin: Float32Array
  readonly pairing: 'half' | 'interleaved'
  readonly rotaryDim: number
  /** The turn of each row; -1: the row stays as it is, to the bit. */
  readonly rowTurns: Int32Array
}

export interface AdoptOptions {
  readonly arena: KvArena
  readonly layer: number
  /** [numKvHeads][keys, values][sourceTokens][headDim] in the arena's type, little-endian, aligned to its values. */
  readonly source: Uint8Array
  readonly sourceTokens: number
  /** The row of the source for each slot; rows may be named more than once. */
  readonly sourceRows: Int32Array
  /** physical page * 16 + offset, one for each of sourceRows. Of rows with one slot the last one stays. */
  readonly slots: Int32Array
  /** @default none: keys stay as they are */
  readonly turns?: KeyTurns
  readonly signal?: AbortSignal
}

export interface ExportOptions {
  readonly arena: KvArena
  readonly layer: number
  /** Page table of the sequence. */
  readonly pages: Int32Array
  readonly numTokens: number
  /** [numKvHeads][keys, values][numTokens][headDim] in the arena's type, little-endian, aligned to its values. */
  readonly out: Uint8Array
  readonly signal?: AbortSignal
}

export interface ProgramOptions {
  /**
   * Buffers of the ops whose contents after a run nobody reads, neither the caller nor a later run before it has written
   * them. A backend with memory of its own does not bring them back. @default none
   */
  readonly scratch?: readonly Float32Array[]
}

/** Ops compiled once, run many times. Buffers are held by reference: a run reads what they hold when it starts. */
export interface Program {
  /** Runs off the calling thread; runs of one Kernels are executed in the order of the calls. */
  run(options: RunOptions): Promise<void>
  dispose(): void
}

/** What has become of runs on a GPU: those of few tokens that repeat are replayed as one graph. */
export interface GpuCounts {
  /** Runs of programs. */
  readonly runs: number
  /** Runs that were one graph. */
  readonly graphs: number
  /** Sequences of launches that the device made no graph of; they go launch by launch, which is slower. */
  readonly refusedGraphs: number
  /** Why it refused the last one; '' if it refused none. */
  readonly refusal: string
}

/** One face over all backends. */
export interface Kernels {
  readonly backend: 'reference' | 'cpu' | 'cuda'
  /** Instruction set in use: scalar, avx2, avx512, vnni, neon; `js` for the reference; sm_90 or the like, or emulated, for cuda. */
  readonly isa: string
  readonly numThreads: number
  /** Null but on a GPU. */
  gpuCounts(): GpuCounts | null
  /** Zeroed 64-byte aligned memory outside V8's heap, taken from the system as it is touched. */
  allocate(bytes: number): ArrayBuffer
  /** Packs rows read piece by piece: read(firstRow, numRows) gives those rows as they stand in a GGUF file. */
  loadWeight(
    type: WeightType,
    rows: number,
    cols: number,
    read: (firstRow: number, numRows: number) => Promise<Uint8Array>,
  ): Promise<Weight>
  /** Row `row` of a weight as float32 [cols]. */
  weightRow(weight: Weight, row: number): Float32Array
  createArena(options: KvArenaOptions): KvArena
  /**
   * Arena row slots[i] of a layer becomes row sourceRows[i] of the source, its key turned, its value as it is. In order
   * with program runs; index arrays are copied in the call, source, cos and sin are left alone until it settles.
   */
  adoptRows(options: AdoptOptions): Promise<void>
  /** Rows [0, numTokens) of a sequence at one layer, as adoptRows takes them. In order with program runs. */
  exportRows(options: ExportOptions): Promise<void>
  /** @param numHeads query heads of the ops that read the lists, if a list may have a row for each. @default numKvHeads */
  createRunLists(maxSequences: number, numKvHeads: number, numHeads?: number): RunLists
  /**
   * [group][indices.length]: softmax(scale q.k) over the rows `indices` alone (any order), for each of the queries
   * [group][headDim] of one KV head. Runs on the calling thread, so it is for some thousand rows at most; a run that
   * writes these rows must have ended.
   */
  attentionWeights(
    kv: SequenceKv,
    layer: number,
    kvHead: number,
    queries: Float32Array,
    indices: Int32Array,
    scale: number,
  ): Float32Array
  /** Keeps every row until it is told otherwise. */
  createKeptRows(numLayers: number, numKvHeads: number): KeptRows
  createProgram(ops: readonly Op[], options?: ProgramOptions): Program
  /** Index of segments and token codes of one sequence. */
  createSegmentIndex(options: SegmentIndexOptions): SegmentIndex
  /** Chooses by estimates from a segment index. */
  createSegmentSelector(options: SegmentSelectorOptions): CountingSelector & { readonly kind: 'segment-codes' }
  /** Chooses by true scores of every row: the oracle of comparisons. */
  createExactSelector(options: ExactSelectorOptions): CountingSelector & { readonly kind: 'exact-scores' }
  /** Hashes vectors by planes. */
  createHashPlanes(options: HashPlanesOptions): HashPlanes
  /** Codes to search in; packed on the calling thread. */
  createCodeTable(options: CodeTableOptions): CodeTable
  /** The best of some candidates for each query, by their vectors. Off the calling thread. */
  rankRows(options: RankOptions): Promise<RankedRows>
  /** Waits for queued runs, then frees threads and memory. */
  dispose(): Promise<void>
}
