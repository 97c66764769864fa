import type { KvArena, RunLists, Weight } from './kernels.ts'

/**
 * How many rows an op works on: a constant, or one of the counts given when the program runs. `tokens`: rows of the
 * batch; `outputs`: rows picked for logits; `sequences`: sequences of the batch.
 */
export type Extent = number | 'tokens' | 'outputs' | 'sequences'

/**
 * A ragged batch, rewritten in place between runs. Sequence s owns rows [rowStarts[s], rowStarts[s + 1]) and holds
 * contextTokens[s] KV rows; its rows are the last of them where an op does not say otherwise. KV row `index` lies in
 * physical page pages[pageStarts[s] + floor(index / 16)] at index % 16.
 */
export interface Batch {
  /** [maxSequences + 1] */
  readonly rowStarts: Int32Array
  /** [maxSequences] */
  readonly contextTokens: Int32Array
  /** [maxSequences + 1] */
  readonly pageStarts: Int32Array
  readonly pages: Int32Array
}

/** out [rows][cols] = rows ids[r] of the table. */
export interface EmbedRowsOp {
  readonly kind: 'embedRows'
  readonly table: Weight
  readonly ids: Int32Array
  readonly out: Float32Array
  readonly rows: Extent
}

/** out[r][g] = x[r][g] / rms(x[r][g]) * weight over vectors of dim values (Zhang and Sennrich 2019). x may be out. */
export interface RmsNormOp {
  readonly kind: 'rmsNorm'
  readonly x: Float32Array
  /** [dim] */
  readonly weight: Float32Array
  readonly eps: number
  /** Vectors a row; 1 but for norms of q and k heads. */
  readonly groups: number
  readonly dim: number
  readonly out: Float32Array
  readonly rows: Extent
}

/** One output of a linear op: out [rows][weight.rows] (+)= x weight^T + bias. */
export interface LinearPart {
  readonly weight: Weight
  /** [weight.rows] */
  readonly bias?: Float32Array
  readonly out: Float32Array
  /** Adds to out in place of overwriting it. */
  readonly accumulate?: boolean
}

/** Linear layers that share their input x [rows][cols]. */
export interface LinearOp {
  readonly kind: 'linear'
  readonly x: Float32Array
  readonly parts: readonly LinearPart[]
  readonly rows: Extent
  /** prefill and decode are two bodies; within one, a row's bits depend on that row and the weights only. */
  readonly path: 'prefill' | 'decode'
  /** exact: float32 activations. fast: activations rounded to 8 bits in blocks of 32 where that pays. */
  readonly mode: 'exact' | 'fast'
}

/** Rotates x [rows][numHeads][headDim] in place; cos, sin [rows][rotaryDim / 2] (Su et al. 2021). */
export interface RopeOp {
  readonly kind: 'rope'
  readonly x: Float32Array
  readonly cos: Float32Array
  readonly sin: Float32Array
  readonly pairing: 'half' | 'interleaved'
  readonly numHeads: number
  readonly headDim: number
  readonly rotaryDim: number
  readonly rows: Extent
}

/** Stores keys, values [rows][numKvHeads][headDim] at slots[r] = physical page * 16 + offset. */
export interface WriteKvOp {
  readonly kind: 'writeKv'
  readonly arena: KvArena
  readonly layer: number
  readonly keys: Float32Array
  readonly values: Float32Array
  readonly slots: Int32Array
  readonly rows: Extent
}

/**
 * How far rows are from those that the arena holds, to be asked before writeKv: out[r] = (|k - k'| + |v - v'|,
 * |k| + |v|), lengths over all KV heads, with k, v the rows given [rows][numKvHeads][headDim] and k', v' what slots[r]
 * holds.
 */
export interface CompareKvOp {
  readonly kind: 'compareKv'
  readonly arena: KvArena
  readonly layer: number
  readonly keys: Float32Array
  readonly values: Float32Array
  readonly slots: Int32Array
  /** [rows][2] */
  readonly out: Float32Array
  readonly rows: Extent
}

/**
 * Causal attention of prefilled rows, fused: q, out [tokens][numHeads][headDim]. A row has the same bits whichever rows
 * it is computed with.
 */
export interface AttendPrefillOp {
  readonly kind: 'attendPrefill'
  readonly arena: KvArena
  readonly layer: number
  readonly q: Float32Array
  readonly numHeads: number
  /** Multiplies q.k; 1 / sqrt(headDim) by convention. */
  readonly scale: number
  /** Row at index i reads (i - windowTokens, i]; 0: all. */
  readonly windowTokens: number
  readonly batch: Batch
  /** [tokens] index of each row in its sequence, ascending within it. @default the last rows of each sequence */
  readonly positions?: Int32Array
  readonly out: Float32Array
  /** [tokens][numHeads] natural log of the softmax denominators. */
  readonly lse?: Float32Array
}

/**
 * mass [numHeads][massStride] += softmax weights that the rows q [tokens][numHeads][headDim] of the batch's one sequence
 * give each KV row, summed over the rows; a row sees what it sees in attendPrefill. Zhang et al. 2023 (H2O) add up all
 * rows of a prompt so, Li et al. 2024 (SnapKV) its last ones.
 */
export interface AttentionMassOp {
  readonly kind: 'attentionMass'
  readonly arena: KvArena
  readonly layer: number
  readonly q: Float32Array
  readonly numHeads: number
  readonly scale: number
  /** Row at index i reads (i - windowTokens, i]; 0: all. */
  readonly windowTokens: number
  /** Of at most one sequence. */
  readonly batch: Batch
  /** [tokens] as in attendPrefill. */
  readonly positions?: Int32Array
  /** [tokens][numHeads] as attendPrefill leaves it for these rows; with it the op costs half. */
  readonly lse?: Float32Array
  readonly mass: Float32Array
  /** At least the sequence's KV rows. */
  readonly massStride: number
}

/**
 * Fills `lists` for the decode rows q [sequences][numHeads][headDim]: every KV row for a sequence whose selector is
 * `all`, that selector's choice for a native one, nothing for `given` (the caller has set the list).
 */
export interface SelectRunsOp {
  readonly kind: 'selectRuns'
  readonly arena: KvArena
  readonly layer: number
  readonly q: Float32Array
  readonly numHeads: number
  readonly scale: number
  /** Sliding window of the layer for `all`; 0: none. */
  readonly windowTokens: number
  readonly batch: Batch
  readonly lists: RunLists
}

/** Decode attention over `lists`: q, out [sequences][numHeads][headDim]. An empty list gives zeros. */
export interface AttendRunsOp {
  readonly kind: 'attendRuns'
  readonly arena: KvArena
  readonly layer: number
  readonly q: Float32Array
  readonly numHeads: number
  readonly scale: number
  readonly batch: Batch
  readonly lists: RunLists
  readonly out: Float32Array
  /** [sequences][numHeads] natural log of the softmax denominators. */
  readonly lse?: Float32Array
}

/** out = silu(gate) * up over rows * dim values (Shazeer 2020). out may be gate. */
export interface SiluGateOp {
  readonly kind: 'siluGate'
  readonly gate: Float32Array
  readonly up: Float32Array
  readonly dim: number
  readonly out: Float32Array
  readonly rows: Extent
}

/** out[r] = x[ids[r]], rows of dim values. */
export interface GatherRowsOp {
  readonly kind: 'gatherRows'
  readonly x: Float32Array
  readonly ids: Int32Array
  readonly dim: number
  readonly out: Float32Array
  readonly rows: Extent
}

export type Op =
  | EmbedRowsOp
  | RmsNormOp
  | LinearOp
  | RopeOp
  | WriteKvOp
  | CompareKvOp
  | AttendPrefillOp
  | AttentionMassOp
  | SelectRunsOp
  | AttendRunsOp
  | SiluGateOp
  | GatherRowsOp
