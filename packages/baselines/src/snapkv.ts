import { type CachePolicy, checkKeys } from '@kvasir/core'
import { type RankedOptions, rankedKeys, rankedPolicy, resolveRanked } from './ranked-policy.ts'
import type { RankingRule } from './ranked-session.ts'
import { resolveWindow, type WindowScoreOptions, windowKeys, windowScores } from './window-scores.ts'

export interface SnapKvOptions extends RankedOptions, WindowScoreOptions {}

/**
 * SnapKV (Li et al. 2024, arXiv 2404.14469): a prompt's rows are ranked, a KV head, by the attention that its last rows pay
 * them. Holds and attends the best rows, the window's own, the sinks, and generated rows as `generated` says.
 */
export function snapKv(options: SnapKvOptions): CachePolicy {
  checkKeys('SnapKvOptions', options, [...rankedKeys, ...windowKeys])
  const window = resolveWindow(options)
  const resolved = resolveRanked(options, window.windowTokens)
  const rule = {
    ...resolved,
    budgetOf: () => resolved.budgetTokens,
    scoresOf: (view, layer, shape) => windowScores(view, layer, shape, window),
  } satisfies RankingRule
  return rankedPolicy('snapkv', rule, { windowTokens: window.windowTokens })
}
