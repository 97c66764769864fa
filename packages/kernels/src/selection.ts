import type { KvArena } from './kernels.ts'

/** KV of one sequence as kernels address it. */
export interface SequenceKv {
  readonly arena: KvArena
  /** Physical page of each logical page; at least ceil(numTokens / 16) entries. */
  readonly pages: Int32Array
}

export interface SegmentIndexOptions {
  readonly numLayers: number
  readonly numKvHeads: number
  readonly headDim: number
  /** Bits a residual: 1 (sign) or 2 (Gaussian quantiser). @default 2 */
  readonly codeBits?: 1 | 2
}

/**
 * Per layer, KV head and closed segment: mean c and per-channel standard deviation e of the rotated keys; per token the
 * code of its residual (k - c) / e. Segments tile [0, numTokens) of the sequence.
 */
export interface SegmentIndex {
  readonly numSegments: number
  /** Tokens covered by closed segments. */
  readonly numTokens: number
  readonly bytes: number
  /** Adds segments [ends[i - 1], ends[i]) (the first starts at numTokens), all layers, off the calling thread, in run order. */
  extend(kv: SequenceKv, ends: Int32Array): Promise<void>
  /** Forgets segments that end after numTokens. */
  truncate(numTokens: number): void
  clone(): SegmentIndex
  /** Copies for inspection: mean and deviation [numSegments][headDim], levels of the tokens [numTokens][headDim]. */
  read(
    layer: number,
    kvHead: number,
  ): { readonly means: Float32Array; readonly deviations: Float32Array; readonly levels: Float32Array }
  dispose(): void
}

export interface BudgetOptions {
  /** Tokens a KV head that attention reads, always-visible ones included; the mean over the heads of a layer. */
  readonly budgetTokens: number
  /** First tokens of the sequence, always visible. @default 4 */
  readonly sinkTokens?: number
  /** Last tokens, always visible, the current one included. @default 16 */
  readonly recentTokens?: number
  /** One budget a layer: each KV head keeps its best quarter, the rest goes to the best remaining tokens of any head. @default true */
  readonly jointHeads?: boolean
}

export interface SegmentSelectorOptions extends BudgetOptions {
  readonly index: SegmentIndex
  /** Keys read exactly to choose among, as a multiple of the budget; 0: choose by estimates alone. @default 2 */
  readonly poolFactor?: number
}

export interface ExactSelectorOptions extends BudgetOptions {}
