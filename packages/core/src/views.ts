import type { RowSet, Selection } from './plans.ts'
import type { Span } from './segment.ts'

/**
 * Read-only access to the KV rows of one sequence. Every call copies; keys are as stored (rotated). An index keeps its
 * meaning for the sequence's whole life: evicting rows leaves a gap, and moves no other row.
 */
export interface KvReader {
  readonly numTokens: number
  /** Rows that were evicted, ascending: attention reads none of them whatever is selected. They read as zeros. @default [] */
  readonly evicted?: readonly Span[]
  /**
   * Rows that attention of the KV head no longer reads, ascending: evicted ones, and those that retain plans did not
   * keep. Absent: the evicted ones; see `droppedSpans`.
   */
  dropped?(layer: number, kvHead: number): readonly Span[]
  /** [end - start][headDim] */
  keys(layer: number, kvHead: number, start: number, end: number): Float32Array
  /** [end - start][headDim] */
  values(layer: number, kvHead: number, start: number, end: number): Float32Array
  /** The sequence's KV as the engine's kernels see it, for native indexes; see `nativeKvOf` of @kvasir/kernels. */
  readonly native?: object
}

/** A prompt that an empty sequence is about to read. */
export interface PromptView {
  readonly tokens: Int32Array
  /** The text that each token adds; '' for a token that only opens a multi-byte character. */
  readonly pieces: readonly string[]
  /** Rows from 0 on that stand already, exactly, from a prefix that the engine had; at least one row is left. @default 0 */
  readonly standingTokens?: number
  /** Rows of the token embedding table for these ids, [ids.length][hiddenDim]; with `observe.embeddings`. */
  readonly embeddings?: (ids: Int32Array) => Float32Array
  readonly signal?: AbortSignal
}

/** What a layer of a partial prefill saw, for choosing the next layer's rows. */
export interface LayerReport {
  readonly layer: number
  readonly rows: RowSet
  /**
   * Per row of `rows`: |K - K'| + |V - V'| over all KV heads, where K', V' were borrowed and K, V computed in their
   * place; Infinity for a row that nobody lent.
   */
  readonly distances: Float32Array
  /** The same over |K| + |V|. */
  readonly deviations: Float32Array
  /**
   * [numTokens of the prompt]: attention that each row received from the computed rows, averaged over heads and those
   * rows; for policies that observe `recomputed`.
   */
  readonly attention?: Float32Array
}

/**
 * A borrowed prompt beside the same prompt computed in full, over the distributions of the first token and of those after
 * the first tokens of the reply, as far as it goes.
 */
export interface ReuseAudit {
  /** KL(full || borrowed), the mean. */
  readonly klNats: number
  /** Both have the same most likely token everywhere. */
  readonly sameTop: boolean
}

/** A prefill chunk whose KV rows stand. */
export interface PrefillView {
  /** Ids of the chunk's tokens. */
  readonly tokens: Int32Array
  /** The text that each token adds; '' for a token that only opens a multi-byte character. */
  readonly pieces: readonly string[]
  /** Index of the chunk's first token. */
  readonly start: number
  /** The prompt ends with this chunk. */
  readonly last: boolean
  readonly kv: KvReader
  /** Where the policy's effects ask for it, once the prompt ends with this chunk. */
  readonly attention?: PromptAttention
  readonly signal?: AbortSignal
}

/** Attention that the rows of a prompt paid, each row to itself and to the rows before it, by the true softmax weights. */
export interface PromptAttention {
  /** Rows whose queries are at hand: as many as the policy's effects ask for, or fewer where the prompt is shorter. */
  readonly windowTokens: number
  /** [numHeads][numTokens]: weights of the prompt's last `windowTokens` rows (by default all at hand), summed over them. */
  windowMass(layer: number, windowTokens?: number): Promise<Float32Array>
  /** [numHeads][numTokens]: weights of all prefilled rows, summed over them; for policies that observe `allRows`. */
  totalMass(layer: number): Promise<Float32Array>
}

/** One decode step, or one layer of it. */
export interface StepView {
  /** null where one selection serves all layers. */
  readonly layer: number | null
  /** KV rows, evicted ones counted; the current token's is row numTokens - 1 (at scope `step` it is not yet written). */
  readonly numTokens: number
  /** [numHeads][headDim], rotated; null at scope `step`. */
  readonly queries: Float32Array | null
  /** Text of the current token taken by itself; U+FFFD for half a character, '' for a token without text. */
  readonly piece: string
  /**
   * [numHeads / numKvHeads][indices.length]: softmax weights over the rows `indices` alone, for each query head that
   * reads the KV head. Absent at scope `step`, and without `observe.attention-weights`.
   */
  weights?(kvHead: number, indices: Int32Array): Float32Array
  /** What the policies before this one in a stack chose; absent: everything. For policies that declare `refines`. */
  readonly chosen?: Selection
  readonly kv: KvReader
}

/** A decoded token whose KV row stands. */
export interface TokenView {
  readonly token: number
  readonly piece: string
  readonly index: number
  readonly kv: KvReader
  readonly signal?: AbortSignal
}

export interface PressureView {
  readonly tier: string
  readonly heldBytes: number
  readonly budgetBytes: number
}

/** A finished sequence. */
export interface SequenceView {
  readonly tokens: Int32Array
  readonly kv: KvReader
}
