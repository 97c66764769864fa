import {
  type CachePolicy,
  type Capability,
  checkInteger,
  checkOneOf,
  type Effects,
  type ObservedAttention,
  requireCapabilities,
} from '@kvasir/core'
import { checkBudget } from './budget.ts'
import { type Generated, RankedSession, type RankingRule } from './ranked-session.ts'

/** Options that every policy has which ranks the rows of a prompt when it ends. */
export interface RankedOptions {
  /** Tokens a KV head that attention reads at a step; with `generated: 'beside'` of the prompt alone. Required. */
  readonly budgetTokens: number
  /**
   * inside: generated rows count in the budget and push out prompt rows, the lowest score first. beside: as published, the
   * prompt is cut to the budget for good and generated rows come on top; it selects nothing, so a selector may stand beside it.
   * @default 'inside'
   */
  readonly generated?: Generated
  /** First tokens of the sequence, always read. @default 4 */
  readonly sinkTokens?: number
}

export const rankedKeys = ['budgetTokens', 'generated', 'sinkTokens'] as const

/** The options that all share, complete; `recentTokens` are the last rows of a prompt, which are not ranked. */
export function resolveRanked(
  options: RankedOptions,
  recentTokens: number,
): Required<RankedOptions> & { recentTokens: number } {
  const generated = checkOneOf('generated', options.generated ?? 'inside', ['inside', 'beside'])
  const sinkTokens = checkInteger('sinkTokens', options.sinkTokens ?? 4, 0)
  return {
    budgetTokens: checkBudget(options.budgetTokens, sinkTokens + recentTokens),
    generated,
    sinkTokens,
    recentTokens,
  }
}

/** The policy of a rule. */
export function rankedPolicy(name: string, rule: RankingRule, observes?: ObservedAttention): CachePolicy {
  const seeing: Capability = observes ? 'observe.attention-mass' : 'observe.keys'
  const inside = rule.generated === 'inside'
  const seen = { fidelity: 'lossy' as const, ...(observes && { observes }) }
  const effects: Effects = inside
    ? { ...seen, slots: ['retain', 'select'], selectScope: 'layer', withoutSelect: "generated: 'beside'" }
    : { ...seen, slots: ['retain', 'append'] }
  return Object.freeze<CachePolicy>({
    name,
    effects: Object.freeze(effects),
    bind: (engine) => requireCapabilities(name, engine, [seeing, inside ? 'select.runs' : 'retain.per-head']),
    open: (sequence) => new RankedSession(sequence, rule),
  })
}
