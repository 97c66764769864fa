import { type CachePolicy, checkKeys, checkNumber } from '@kvasir/core'
import { type RankedOptions, rankedKeys, rankedPolicy, resolveRanked } from './ranked-policy.ts'
import type { RankingRule } from './ranked-session.ts'
import { resolveWindow, type WindowScoreOptions, windowKeys, windowScores } from './window-scores.ts'

export interface AdaKvOptions extends RankedOptions, WindowScoreOptions {
  /** Share of an even split that each KV head keeps; 1: SnapKV. @default 0.2 */
  readonly floorShare?: number
}

/**
 * AdaKV (Feng et al. 2024, arXiv 2407.11550): SnapKV's ranking, with one budget a layer: beyond its floor a KV head keeps as
 * many rows as it has among the best of all heads. Holds and attends `budgetTokens` in the mean over a layer's KV heads.
 */
export function adaKv(options: AdaKvOptions): CachePolicy {
  checkKeys('AdaKvOptions', options, [...rankedKeys, ...windowKeys, 'floorShare'])
  const window = resolveWindow(options)
  const resolved = resolveRanked(options, window.windowTokens)
  const rule = {
    ...resolved,
    floorShare: checkNumber('floorShare', options.floorShare ?? 0.2, 0, 1),
    budgetOf: () => resolved.budgetTokens,
    scoresOf: (view, layer, shape) => windowScores(view, layer, shape, window),
  } satisfies RankingRule
  return rankedPolicy('adakv', rule, { windowTokens: window.windowTokens })
}
