import { type CachePolicy, checkKeys } from '@kvasir/core'
import { attendedPolicy } from './attended-policy.ts'
import type { AttentionRule } from './attended-session.ts'
import { checkBudget } from './budget.ts'
import { attentionOf } from './prompt-attention.ts'

export interface TovaOptions {
  /** Tokens a KV head that attention reads at a step. Required. */
  readonly budgetTokens: number
}

/**
 * TOVA (Oren et al. 2024, arXiv 2401.06104): for each row that comes, the one that the last query attended least goes, by
 * the mean over all heads of the layer, which hold and attend the same rows. The prompt is read densely and cut to the
 * budget by its last row's attention; a row that is evicted never comes back.
 */
export function tova(options: TovaOptions): CachePolicy {
  checkKeys('TovaOptions', options, ['budgetTokens'])
  const budgetTokens = checkBudget(options.budgetTokens, 1)
  const rule: AttentionRule = {
    budgetTokens,
    recentTokens: 1,
    sharedByLayer: true,
    accumulates: false,
    promptMass: (view, layer) => attentionOf(view).windowMass(layer, 1),
  }
  return attendedPolicy('tova', rule, { windowTokens: 1 })
}
