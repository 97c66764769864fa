import type { LayerShape } from '@kvasir/core'
import type { Choice } from './choose.ts'

/** What a prompt's last rows paid attention to, in one layer. */
export interface WindowAttention {
  /** [numHeads][numTokens]: summed over the window's rows. */
  readonly mass: Float32Array
  readonly numTokens: number
  /** Rows of the window: fewer than asked for where the prompt is shorter. */
  readonly windowTokens: number
  /** [heads of the rule]: rows that each head still has, ascending. */
  readonly candidates: readonly Int32Array[]
}

/** How a mode keeps a pool of a prompt's rows and reads from it; `PoolSession` carries it out. */
export interface PoolRule {
  /** Who has a pool, vectors and a choice of its own: each KV head, or each query head. */
  readonly heads: 'kv' | 'query'
  readonly choice: Choice
  /** Last rows of a prompt whose attention says what stays. */
  readonly windowTokens: number
  /** True if a token of this text ends its sentence. */
  readonly closes: (piece: string) => boolean
  /** Rows that each head keeps, ascending. */
  readonly retain: (attention: WindowAttention, layer: LayerShape) => Int32Array[]
  /** Most entries that one sentence can bring back. */
  readonly bucketEntries: (keptTokens: number, numSentences: number) => number
  /** True if a head reads all its entries at a step. openTokens: tokens of the open sentence, the current one included. */
  readonly readsAll: (openTokens: number, closes: boolean, numEntries: number) => boolean
}
