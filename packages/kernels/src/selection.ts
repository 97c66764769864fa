import type { NativeSelector } from '@kvasir/core'
import type { KvArena } from './kernels.ts'

/** KV of one sequence as kernels address it. */
export interface SequenceKv {
  readonly arena: KvArena
  /** Physical page of each logical page; at least ceil(numTokens / 16) entries. */
  readonly pages: Int32Array
}

/** Bits a channel of a token's code: none, sign, or the best 4 or 16 levels for a normal variable. */
export type CodeBits = 0 | 1 | 2 | 4

/**
 * Channels that tokens are coded in: `principal`: the directions in which the keys of a layer and KV head vary most, with
 * more bits where they vary more; `channels`: those of the keys, all with the same bits.
 */
export type SegmentBasis = 'principal' | 'channels'

/** Bits a channel of a segment's mean. */
export type VectorBits = 8 | 16

export interface SegmentIndexOptions {
  readonly numLayers: number
  readonly numKvHeads: number
  readonly headDim: number
  /** Bits a channel of a token's residual, with principal channels on average; 0: tokens of a segment are told apart by nothing. @default 2 */
  readonly codeBits?: CodeBits | undefined
  /** 16: means of float16, deviations of 8 bits a channel; 8: means of 8 bits, deviations of 4. Principal channels have no deviations. @default 8 */
  readonly vectorBits?: VectorBits | undefined
  /**
   * Channels that tokens are coded in. Principal ones are found in the first 256 tokens, a little more where no segment
   * ends there: before, choices are by exact scores. They need codes and go without a prefilter. @default 'principal', 'channels' with codeBits 0
   */
  readonly basis?: SegmentBasis | undefined
}

/** What an index holds of one layer and KV head. */
export interface SegmentIndexContents {
  /** [numSegments][headDim], 0 before there are principal channels */
  readonly means: Float32Array
  /** [numSegments][headDim], 1 with principal channels */
  readonly deviations: Float32Array
  /** [numTokens][headDim], 0 without codes: a key is about mean + deviation * level */
  readonly levels: Float32Array
  /** [numSegments] largest distance of a segment's keys from these estimates, or more; Infinity before there are principal channels */
  readonly radii: Float32Array
}

/**
 * Per layer, KV head and closed segment: the mean c of the rotated keys and the radius that holds them; per token a code
 * of its residual k - c: of each channel over the segment's standard deviation, or of its components along principal
 * channels. Those are made once, from the first segments that cover 256 tokens or more, by one Jacobi sweep over the
 * second moments of their residuals; codes of these segments follow then. Segments tile [0, numTokens) of the sequence.
 */
export interface SegmentIndex {
  readonly basis: SegmentBasis
  readonly numSegments: number
  /** Tokens covered by closed segments. */
  readonly numTokens: number
  readonly bytes: number
  /**
   * Adds segments [ends[i - 1], ends[i]) (the first starts at numTokens), all layers, off the calling thread, in run order.
   * Rows of earlier segments must stand where principal channels are still to be made.
   */
  extend(kv: SequenceKv, ends: Int32Array): Promise<void>
  /** Forgets segments that end after numTokens. */
  truncate(numTokens: number): void
  clone(): SegmentIndex
  /** Copies for inspection. */
  read(layer: number, kvHead: number): SegmentIndexContents
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

/** How a choice by estimates is made. */
export interface EstimateOptions {
  /** Keys read exactly to choose among, as a multiple of the budget; 0: choose by estimates alone. @default 2 */
  readonly poolFactor?: number | undefined
  /**
   * Tokens a KV head that are estimated one by one, as a multiple of the budget: those of the segments with the best
   * mean and variance, in an index of basis 'channels'; 0: all. @default 0
   */
  readonly prefilterFactor?: number | undefined
  /** What estimates are made for: the query, or its mean or exponential average since a segment closed. @default 'current' */
  readonly query?: 'current' | 'mean' | 'ema' | undefined
  /** Share of the average that each step of `ema` keeps, 0 to 1. @default 0.5 */
  readonly emaDecay?: number | undefined
  /** A choice answers so many steps, the first included; rows that came since are visible. @default 1 */
  readonly rerankSteps?: number | undefined
  /** It answers none whose query has a smaller cosine to the one that it was made for, -1 to 1. @default 0.8 */
  readonly driftLimit?: number | undefined
  /**
   * Whether choices are checked against what the radii of segments allow: `report` counts the KV heads whose choice is
   * proven to be the exact one, `extend` reads every key that stands against a proof. Values are taken under the
   * softmax denominators of the pool: with one query head a KV head and without jointHeads, an extended choice is that
   * of an exact selector. Needs the current query and no prefilter. @default 'off'
   */
  readonly certify?: 'off' | 'report' | 'extend' | undefined
}

export interface SegmentSelectorOptions extends BudgetOptions, EstimateOptions {
  readonly index: SegmentIndex
  /** A segment selector of the sequence that this one's was copied from: averages and standing choices go on. @default none */
  readonly continues?: NativeSelector | undefined
}

export interface ExactSelectorOptions extends BudgetOptions {}
