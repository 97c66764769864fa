import { type CachePolicy, checkInteger, checkKeys } from '@kvasir/core'
import { scoresOfKeys } from './key-scores.ts'
import { type RankedOptions, rankedKeys, rankedPolicy, resolveRanked } from './ranked-policy.ts'
import type { RankingRule } from './ranked-session.ts'

export interface KeyNormOptions extends RankedOptions {
  /** Last tokens of a prompt, always read. @default 16 */
  readonly recentTokens?: number
}

/**
 * Key norms (Devoto et al. 2024, arXiv 2406.11430): keeps, a KV head, the prompt's rows with the smallest keys, which draw
 * the most attention. Needs no attention. Holds and attends them, sinks, recent rows, and generated rows as `generated` says.
 */
export function keyNorm(options: KeyNormOptions): CachePolicy {
  checkKeys('KeyNormOptions', options, [...rankedKeys, 'recentTokens'])
  const resolved = resolveRanked(options, checkInteger('recentTokens', options.recentTokens ?? 16, 1))
  const rule = {
    ...resolved,
    budgetOf: () => resolved.budgetTokens,
    scoresOf: (view, layer, shape) => scoresOfKeys(view, layer, shape, smallness),
  } satisfies RankingRule
  return rankedPolicy('knorm', rule)
}

/** Scores of keys [numRows][headDim]: minus their length. */
export function smallness(keys: Float32Array, headDim: number): Float32Array {
  return Float32Array.from({ length: keys.length / headDim }, (_, row) => {
    let squares = 0
    for (let i = row * headDim; i < (row + 1) * headDim; i++) squares += keys[i] * keys[i]
    return -Math.sqrt(squares)
  })
}
