import { type CachePolicy, checkInteger, checkKeys } from '@kvasir/core'
import { attendedPolicy } from './attended-policy.ts'
import type { AttentionRule } from './attended-session.ts'
import { checkBudget } from './budget.ts'
import { attentionOf } from './prompt-attention.ts'

export interface H2oOptions {
  /** Tokens a KV head that attention reads at a step. Required. */
  readonly budgetTokens: number
  /** Last tokens, never evicted; the rest of the budget holds heavy hitters. @default half of the budget */
  readonly recentTokens?: number
}

/**
 * H2O (Zhang et al. 2023, arXiv 2306.14048): holds and attends, a KV head, the recent rows and the heavy hitters: those
 * that got the most attention so far, over the prompt and each step since, summed over the KV head's query heads. The
 * prompt is read densely; a row that is evicted never comes back.
 */
export function h2o(options: H2oOptions): CachePolicy {
  checkKeys('H2oOptions', options, ['budgetTokens', 'recentTokens'])
  const half = Math.floor(checkBudget(options.budgetTokens, 1) / 2)
  const recentTokens = checkInteger('recentTokens', options.recentTokens ?? half, 1)
  const budgetTokens = checkBudget(options.budgetTokens, recentTokens)
  const rule: AttentionRule = {
    budgetTokens,
    recentTokens,
    sharedByLayer: false,
    accumulates: true,
    promptMass: (view, layer) => attentionOf(view).totalMass(layer),
  }
  return attendedPolicy('h2o', rule, { allRows: true })
}
