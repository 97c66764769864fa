import { type CachePolicy, checkInteger, checkKeys } from '@kvasir/core'
import { scoresOfKeys } from './key-scores.ts'
import { type RankedOptions, rankedKeys, rankedPolicy, resolveRanked } from './ranked-policy.ts'
import type { RankingRule } from './ranked-session.ts'

/** Options that every policy has which ranks the rows of a prompt by their keys alone. */
export interface KeyOptions extends RankedOptions {
  /** Last tokens of a prompt, always read. @default 16 */
  readonly recentTokens?: number
}

/** The policy of a rule that scores keys [numRows][headDim]; the higher, the longer a row is kept. */
export function keyPolicy(
  name: string,
  options: KeyOptions,
  { type, score }: { readonly type: string; readonly score: (keys: Float32Array, headDim: number) => Float32Array },
): CachePolicy {
  checkKeys(type, options, [...rankedKeys, 'recentTokens'])
  const resolved = resolveRanked(options, checkInteger('recentTokens', options.recentTokens ?? 16, 1))
  const rule = {
    ...resolved,
    budgetOf: () => resolved.budgetTokens,
    scoresOf: (view, layer, shape) => scoresOfKeys(view, layer, shape, score),
  } satisfies RankingRule
  return rankedPolicy(name, rule)
}
